;; The sample application. It greets, or examines itself when it is called with --self-test.
;; The words in braces are filled in by Application.
(module
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
  (memory (export "memory") 1)

  (data (i32.const 64) "--self-test\00")
  (data (i32.const 128) "Hello from a Trusted Application, version {version}.\n\00")
  (data (i32.const 256) "version {version}, self-test: {verdict}\n\00")
  (global $health i32 (i32.const {health})) ;; what the self-test ends with

  ;; Words in memory: 0 number of arguments, 4 size of their text, 8 and 12 the one
  ;; buffer of fd_write, 16 what it wrote, 512 the pointers to the arguments,
  ;; 4096 their text.
  (func $main (export "_start")
    i32.const 0
    i32.const 4
    call $args_sizes_get
    call $must
    i32.const 4
    i32.load
    i32.const 60000
    i32.gt_u
    call $must ;; the text fits into the page
    i32.const 0
    i32.load
    i32.const 800
    i32.gt_u
    call $must ;; and the pointers below it
    i32.const 512
    i32.const 4096
    call $args_get
    call $must

    block $greet
      i32.const 0
      i32.load
      i32.const 2
      i32.lt_u
      br_if $greet
      i32.const 516
      i32.load
      i32.const 64
      call $same
      i32.eqz
      br_if $greet
      i32.const 256
      call $print
      global.get $health
      call $proc_exit
    end
    i32.const 128
    call $print)

  ;; must ends the application where a call has failed.
  (func $must (param $errno i32)
    local.get $errno
    if
      i32.const 70
      call $proc_exit
    end)

  ;; print writes a text that ends with a zero byte to standard output.
  (func $print (param $text i32)
    i32.const 8
    local.get $text
    i32.store
    i32.const 12
    local.get $text
    call $length
    i32.store
    i32.const 1
    i32.const 8
    i32.const 1
    i32.const 16
    call $fd_write
    call $must)

  ;; length counts the bytes before the zero byte.
  (func $length (param $text i32) (result i32) (local $n i32)
    block $done
      loop $next
        local.get $text
        local.get $n
        i32.add
        i32.load8_u
        i32.eqz
        br_if $done
        local.get $n
        i32.const 1
        i32.add
        local.set $n
        br $next
      end
    end
    local.get $n)

  ;; same compares two texts, with their zero bytes.
  (func $same (param $a i32) (param $b i32) (result i32)
    loop $next
      local.get $a
      i32.load8_u
      local.get $b
      i32.load8_u
      i32.ne
      if
        i32.const 0
        return
      end
      local.get $a
      i32.load8_u
      i32.eqz
      if
        i32.const 1
        return
      end
      local.get $a
      i32.const 1
      i32.add
      local.set $a
      local.get $b
      i32.const 1
      i32.add
      local.set $b
      br $next
    end
    unreachable))
