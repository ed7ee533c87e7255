//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // a compressor
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
)

func TestWebSocketEchoes(t *testing.T) {
	d := startDoor(t, site(goOrigin(t, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(8 << 20)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if string(message) == "bye" {
				c.Close(4001, "as you say")
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	})))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, res, err := websocket.Dial(ctx, d.url+"/chat", &websocket.DialOptions{Subprotocols: []string{"echo"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	c.SetReadLimit(8 << 20)
	if got := res.Header.Get("Sec-WebSocket-Protocol"); got != "echo" {
		t.Errorf("subprotocol %q", got)
	}
	for _, message := range [][]byte{[]byte("hello"), {}, bytes.Repeat([]byte("x"), 4<<20), []byte("again")} {
		if err := c.Write(ctx, websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
		if _, got, err := c.Read(ctx); err != nil || !bytes.Equal(got, message) {
			t.Fatalf("%d bytes sent, %d came back: %v", len(message), len(got), err)
		}
	}
	if err := c.Write(ctx, websocket.MessageText, []byte("bye")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Read(ctx); websocket.CloseStatus(err) != 4001 {
		t.Errorf("the close status did not pass: %v", err)
	}
}

// healthClient is a client of gRPC's health service at an address, and for how long a test waits for it.
func healthClient(t *testing.T, addr string) (grpc_health_v1.HealthClient, context.Context) {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return grpc_health_v1.NewHealthClient(conn), ctx
}

func TestGRPCPassesOverClearHTTP2(t *testing.T) {
	addr, state := grpcOrigin(t)
	d := startDoor(t, site("h2c://"+addr))
	client, ctx := healthClient(t, d.addr)

	answer, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	if err != nil || answer.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Fatalf("unary: %v, %v", answer, err)
	}
	_, err = client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "nobody"})
	if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "unknown service" {
		t.Errorf("a status: %v", err)
	}
	stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	// Each state is set when the one before it has arrived: what is streamed must not wait for more.
	for _, want := range []grpc_health_v1.HealthCheckResponse_ServingStatus{
		grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN, grpc_health_v1.HealthCheckResponse_SERVING,
		grpc_health_v1.HealthCheckResponse_NOT_SERVING, grpc_health_v1.HealthCheckResponse_SERVING,
	} {
		if want != grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN {
			state.SetServingStatus("shop", want)
		}
		got, err := stream.Recv()
		if err != nil || got.Status != want {
			t.Fatalf("stream: %v, %v, want %v", got, err, want)
		}
	}
}

// With the types of its messages, the firewall finds what the texts of a call hold, in calls with one answer and in streams.
func TestTheFirewallReadsGRPC(t *testing.T) {
	addr, state := grpcOrigin(t)
	state.SetServingStatus("shop", grpc_health_v1.HealthCheckResponse_SERVING)
	types, err := proto.Marshal(&descriptorpb.FileDescriptorSet{File: []*descriptorpb.FileDescriptorProto{protodesc.ToFileDescriptorProto(grpc_health_v1.File_grpc_health_v1_health_proto)}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "health.binpb")
	if err := os.WriteFile(file, types, 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDoor(t, `sites: [{hosts: ["*"], origins: ["h2c://`+addr+`"], protobuf: "`+file+`"}]
waf: {mode: block}
`)
	client, ctx := healthClient(t, d.addr)
	for _, packed := range [][]grpc.CallOption{nil, {grpc.UseCompressor("gzip")}} {
		for service, want := range map[string]codes.Code{"shop": codes.OK, "none": codes.NotFound, "1' UNION SELECT password FROM users--": codes.PermissionDenied} {
			if _, err := client.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service}, packed...); status.Code(err) != want {
				t.Errorf("%q: %v, want %s", service, err, want)
			}
		}
	}
	stream, err := client.Watch(ctx, &grpc_health_v1.HealthCheckRequest{Service: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := stream.Recv(); err != nil || got.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("a stream: %v, %v", got, err)
	}
}
