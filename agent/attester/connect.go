package attester

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"github.com/google/go-tpm/tpm2/transport"
)

// connect opens a device, a unix socket or host:port.
func connect(ctx context.Context, address string) (transport.TPMCloser, error) {
	network := "tcp"
	if strings.Contains(address, "/") {
		info, err := os.Stat(address)
		if err != nil {
			return nil, fmt.Errorf("no TPM: %w; load its driver, or give the path or host:port where one listens", err)
		}
		switch mode := info.Mode(); {
		case mode&os.ModeCharDevice != 0:
			device, err := os.OpenFile(address, os.O_RDWR, 0)
			if err != nil {
				return nil, fmt.Errorf("TPM: %w", err)
			}
			return transport.FromReadWriteCloser(device), nil
		case mode&os.ModeSocket == 0:
			return nil, fmt.Errorf("no TPM: %s is neither a device nor a socket", address)
		}
		network = "unix"
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("TPM: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			conn.Close()
			return nil, err
		}
	}
	return stream{conn}, nil
}

// stream is a TPM at the other end of a connection, which may deliver an answer in parts.
type stream struct{ net.Conn }

// maxResponse caps an answer, in bytes.
const maxResponse = 4096

// Send implements transport.TPM. An answer has its size behind a tag of two bytes (TPM 2.0
// Library part 1, section 18).
func (s stream) Send(command []byte) ([]byte, error) {
	if _, err := s.Write(command); err != nil {
		return nil, err
	}
	head := make([]byte, 10)
	if _, err := io.ReadFull(s, head); err != nil {
		return nil, fmt.Errorf("answer of the TPM: %w", err)
	}
	size := binary.BigEndian.Uint32(head[2:])
	if size < uint32(len(head)) || size > maxResponse {
		return nil, fmt.Errorf("answer of the TPM: %d bytes, want %d to %d", size, len(head), maxResponse)
	}
	answer := make([]byte, size)
	if _, err := io.ReadFull(s, answer[copy(answer, head):]); err != nil {
		return nil, fmt.Errorf("answer of the TPM: %w", err)
	}
	return answer, nil
}
