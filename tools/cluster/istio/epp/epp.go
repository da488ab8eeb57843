// Package epp is an endpoint picker that counts what it is asked, in the place of the real one. Its flags are those that a
// Deployment of the real one has. The pods of its InferencePool are its answers, in turn, and the count is in the metric of the
// real one.
package epp

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync/atomic"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	// Header and key of the metadata that name the endpoint.
	destination = "x-gateway-destination-endpoint"
	// Namespace of that metadata.
	namespace = "envoy.lb"
	// Header of an answer by which a client sees that the picker was asked, as the real one sets it.
	wasAsked = "x-went-into-resp-headers"
)

// Main reads the flags and serves until it fails.
func Main() {
	flags := flag.NewFlagSet("counting-epp", flag.ExitOnError)
	name := flags.String("pool-name", "", "the InferencePool")
	in := flags.String("pool-namespace", "", "its namespace")
	port := flags.Int("grpc-port", 9002, "port for Envoy")
	metrics := flags.Int("metrics-port", 9090, "port for metrics")
	// Flags of the real one that mean nothing here.
	flags.Int("grpc-health-port", 9003, "ignored")
	flags.Bool("metrics-endpoint-auth", false, "ignored")
	flags.Bool("secure-serving", false, "ignored")
	flags.Bool("tracing", false, "ignored")
	// An error ends the program.
	_ = flags.Parse(os.Args[1:])
	if err := run(*name, *in, *port, *metrics); err != nil {
		log.Fatalf("counting-epp: %v", err)
	}
}

func run(name, in string, port, metrics int) error {
	pods, err := watch(context.Background(), in, name)
	if err != nil {
		return err
	}
	picker := &picker{pods: pods}
	page := func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "llm_d_epp_request_total %d\n", picker.asked.Load())
	}
	go func() { log.Fatal(http.ListenAndServe(fmt.Sprintf(":%d", metrics), http.HandlerFunc(page))) }()
	listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	extproc.RegisterExternalProcessorServer(server, picker)
	return server.Serve(listener)
}

// picker answers all streams, each of which is one request through Envoy.
type picker struct {
	extproc.UnimplementedExternalProcessorServer
	pods  *pods
	asked atomic.Uint64
}

func (p *picker) Process(stream extproc.ExternalProcessor_ProcessServer) error {
	p.asked.Add(1)
	endpoint := p.pods.next()
	for {
		request, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := stream.Send(answer(request, endpoint)); err != nil {
			return err
		}
	}
}

// answer returns what a message is answered with; an empty endpoint names none.
func answer(request *extproc.ProcessingRequest, endpoint string) *extproc.ProcessingResponse {
	switch asked := request.Request.(type) {
	case *extproc.ProcessingRequest_RequestHeaders:
		answer := &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestHeaders{RequestHeaders: headers(destination, endpoint)}}
		if endpoint != "" {
			inner := &structpb.Struct{Fields: map[string]*structpb.Value{destination: structpb.NewStringValue(endpoint)}}
			answer.DynamicMetadata = &structpb.Struct{Fields: map[string]*structpb.Value{namespace: structpb.NewStructValue(inner)}}
		}
		return answer
	case *extproc.ProcessingRequest_RequestBody:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestBody{RequestBody: body(asked.RequestBody)}}
	case *extproc.ProcessingRequest_RequestTrailers:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_RequestTrailers{RequestTrailers: &extproc.TrailersResponse{}}}
	case *extproc.ProcessingRequest_ResponseHeaders:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseHeaders{ResponseHeaders: headers(wasAsked, "true")}}
	case *extproc.ProcessingRequest_ResponseBody:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseBody{ResponseBody: body(asked.ResponseBody)}}
	default:
		return &extproc.ProcessingResponse{Response: &extproc.ProcessingResponse_ResponseTrailers{ResponseTrailers: &extproc.TrailersResponse{}}}
	}
}

// headers returns an answer to headers, which sets one of them unless the value is empty.
func headers(name, value string) *extproc.HeadersResponse {
	if value == "" {
		return &extproc.HeadersResponse{}
	}
	option := &corev3.HeaderValueOption{
		Header:       &corev3.HeaderValue{Key: name, RawValue: []byte(value)},
		AppendAction: corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
	}
	mutation := &extproc.HeaderMutation{SetHeaders: []*corev3.HeaderValueOption{option}}
	return &extproc.HeadersResponse{Response: &extproc.CommonResponse{HeaderMutation: mutation}}
}

// body returns a chunk of a body as it came: Envoy keeps none in the mode in which Istio asks.
func body(chunk *extproc.HttpBody) *extproc.BodyResponse {
	streamed := &extproc.StreamedBodyResponse{Body: chunk.Body, EndOfStream: chunk.EndOfStream}
	mutation := &extproc.BodyMutation{Mutation: &extproc.BodyMutation_StreamedResponse{StreamedResponse: streamed}}
	return &extproc.BodyResponse{Response: &extproc.CommonResponse{BodyMutation: mutation}}
}
