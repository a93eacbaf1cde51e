package teephttp

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"golang.org/x/time/rate"
)

// Limits bound what this replica takes in, before anything is decoded. They live in
// memory. A rate of 0 stands for the default, a negative one for no limit.
type Limits struct {
	PerAddress      float64 // requests per second of one remote address; default 50
	PerAddressBurst int     // default 200
	Total           float64 // requests per second of all; default 5000
	TotalBurst      int     // default 10000
}

// maxAddresses bounds the memory: beyond it, addresses share one limit.
const maxAddresses = 1 << 16

// forgetAfter is when an address that was quiet is forgotten.
const forgetAfter = time.Minute

type limiter struct {
	limits Limits
	clock  func() time.Time
	total  *rate.Limiter

	mu        sync.Mutex
	addresses map[netip.Addr]*visitor
	rest      *rate.Limiter // of the addresses that do not fit in
	swept     time.Time
}

type visitor struct {
	limit *rate.Limiter
	seen  time.Time
}

func newLimiter(l Limits, clock func() time.Time) *limiter {
	setRate(&l.PerAddress, &l.PerAddressBurst, 50, 200)
	setRate(&l.Total, &l.TotalBurst, 5000, 10000)
	return &limiter{
		limits: l, clock: clock, swept: clock(),
		total:     rate.NewLimiter(rate.Limit(l.Total), l.TotalBurst),
		rest:      rate.NewLimiter(rate.Limit(l.PerAddress), l.PerAddressBurst),
		addresses: make(map[netip.Addr]*visitor),
	}
}

func setRate(perSecond *float64, burst *int, defaultRate float64, defaultBurst int) {
	if *perSecond == 0 {
		*perSecond = defaultRate
	}
	if *perSecond < 0 {
		*perSecond = float64(rate.Inf)
	}
	if *burst <= 0 {
		*burst = defaultBurst
	}
}

// wait returns how long the sender has to wait; zero means that it may go on.
func (l *limiter) wait(remote string) time.Duration {
	now := l.clock()
	if d := take(l.of(remote, now), now); d > 0 {
		return d
	}
	return take(l.total, now)
}

// take takes a token or says when there will be one.
func take(r *rate.Limiter, now time.Time) time.Duration {
	reservation := r.ReserveN(now, 1)
	d := reservation.DelayFrom(now)
	if d > 0 {
		reservation.CancelAt(now)
	}
	return d
}

// of returns the limit of a remote address. An IPv6 network of 64 bits counts as
// one, for that is what one sender has.
func (l *limiter) of(remote string, now time.Time) *rate.Limiter {
	address := network(remote)
	l.mu.Lock()
	defer l.mu.Unlock()
	if v, ok := l.addresses[address]; ok {
		v.seen = now
		return v.limit
	}
	if now.Sub(l.swept) >= forgetAfter {
		l.sweep(now)
	}
	if len(l.addresses) >= maxAddresses {
		return l.rest
	}
	v := &visitor{rate.NewLimiter(rate.Limit(l.limits.PerAddress), l.limits.PerAddressBurst), now}
	l.addresses[address] = v
	return v.limit
}

// sweep forgets who was quiet for long enough to have a full bucket again.
func (l *limiter) sweep(now time.Time) {
	l.swept = now
	for address, v := range l.addresses {
		if now.Sub(v.seen) >= forgetAfter {
			delete(l.addresses, address)
		}
	}
}

func network(remote string) netip.Addr {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	address = address.Unmap().WithZone("")
	if address.Is6() {
		if prefix, err := address.Prefix(64); err == nil {
			return prefix.Addr()
		}
	}
	return address
}

func (h *handler) limitRate(c *gin.Context) {
	d := h.limiter.wait(c.Request.RemoteAddr)
	if d <= 0 {
		return
	}
	c.Header("Retry-After", strconv.Itoa(int(math.Ceil(min(d, time.Hour).Seconds()))))
	c.AbortWithStatus(http.StatusTooManyRequests)
}
