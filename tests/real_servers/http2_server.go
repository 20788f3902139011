// A server over TLS that speaks HTTP/2 and HTTP/1.1. With -rotate it replaces itself again and again, and each server before ends in
// order: GOAWAY, the requests in progress, then the connections.
package main

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var connections, rotations int64

// A listener that gets its connections from the accept loop.
type handover struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
	addr   net.Addr
}

func (h *handover) Accept() (net.Conn, error) {
	select {
	case conn := <-h.conns:
		return conn, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

func (h *handover) Addr() net.Addr { return h.addr }

func webSocket(w http.ResponseWriter, r *http.Request) {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	conn, buffered, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(buffered, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]))
	buffered.Flush()
	io.Copy(conn, buffered)
}

func handle(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/figures":
		fmt.Fprintf(w, "%d %d", atomic.LoadInt64(&connections), atomic.LoadInt64(&rotations))
	case r.URL.Path == "/echo":
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
		}
		io.Copy(w, r.Body)
	case r.URL.Path == "/trailers":
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%d bytes, trailer %q", len(body), r.Trailer.Get("X-Client"))
		w.(http.Flusher).Flush()
		w.Header().Set("X-Sum", "7")
	case r.URL.Path == "/hints":
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(103)
		io.WriteString(w, "page")
	case strings.HasPrefix(r.URL.Path, "/status/"):
		status, _ := strconv.Atoi(r.URL.Path[8:])
		w.WriteHeader(status)
	case r.URL.Path == "/early":
		// The response comes before the body of the request has been read.
		w.WriteHeader(413)
		io.WriteString(w, "too large")
	case r.URL.Path == "/abort":
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "part")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case r.URL.Path == "/slow":
		time.Sleep(50 * time.Millisecond)
		fmt.Fprint(w, r.Proto)
	case r.Header.Get("Upgrade") != "":
		webSocket(w, r)
	default:
		fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, strings.Join(r.Header["Cookie"], "|"))
	}
}

func main() {
	address := flag.String("address", "", "")
	certificate := flag.String("certificate", "", "")
	key := flag.String("key", "", "")
	rotate := flag.Duration("rotate", 0, "")
	flag.Parse()
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var mutex sync.Mutex
	begin := func() (*handover, *http.Server) {
		next := &handover{conns: make(chan net.Conn), closed: make(chan struct{}), addr: listener.Addr()}
		server := &http.Server{Handler: http.HandlerFunc(handle)}
		go server.ServeTLS(next, *certificate, *key)
		return next, server
	}
	current, server := begin()
	if *rotate > 0 {
		go func() {
			for range time.Tick(*rotate) {
				mutex.Lock()
				old := server
				current, server = begin()
				mutex.Unlock()
				atomic.AddInt64(&rotations, 1)
				go old.Shutdown(context.Background())
			}
		}()
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		atomic.AddInt64(&connections, 1)
		for conn != nil {
			mutex.Lock()
			to := current
			mutex.Unlock()
			select {
			case to.conns <- conn:
				conn = nil
			case <-to.closed:
			}
		}
	}
}
