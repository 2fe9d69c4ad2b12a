// Serves ADS from go-control-plane's caches, as a contender of bench/xds_push.py.
//
//	contender -listen 127.0.0.1:0 -cache snapshot|linear -resources file
//
// The file is a serialised DiscoveryResponse with the resources of all types. Prints its port; then each line of standard
// input is a word: `change <base64>` replaces one resource (a serialised Any), `cpu` prints the microseconds used so far.
package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"

	_ "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	_ "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/types"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const everyNode = "all"

type oneGroup struct{}

func (oneGroup) ID(*core.Node) string { return everyNode }

type resources map[string]map[string]types.Resource

func (all resources) put(packed *anypb.Any) (string, string, types.Resource) {
	message, err := packed.UnmarshalNew()
	check(err)
	if all[packed.TypeUrl] == nil {
		all[packed.TypeUrl] = map[string]types.Resource{}
	}
	name := cache.GetResourceName(message)
	all[packed.TypeUrl][name] = message
	return packed.TypeUrl, name, message
}

// snapshot shows all resources to every node, anew after each change.
func snapshot(all resources) (cache.Cache, func(*anypb.Any)) {
	held, version := cache.NewSnapshotCache(true, oneGroup{}, nil), 0
	show := func() {
		version++
		lists := map[string][]types.Resource{}
		for kind, named := range all {
			for _, one := range named {
				lists[kind] = append(lists[kind], one)
			}
		}
		made, err := cache.NewSnapshot(strconv.Itoa(version), lists)
		check(err)
		check(held.SetSnapshot(context.Background(), everyNode, made))
	}
	show()
	return held, func(packed *anypb.Any) {
		all.put(packed)
		show()
	}
}

// linear keeps a cache for each type, which is told of each resource that changes.
func linear(all resources) (cache.Cache, func(*anypb.Any)) {
	caches, byType := map[string]cache.Cache{}, map[string]*cache.LinearCache{}
	for kind, named := range all {
		byType[kind] = cache.NewLinearCache(kind, cache.WithInitialResources(named))
		caches[kind] = byType[kind]
	}
	held := &cache.MuxCache{
		Classify:      func(request *cache.Request) string { return request.TypeUrl },
		ClassifyDelta: func(request *cache.DeltaRequest) string { return request.TypeUrl },
		Caches:        caches,
	}
	return held, func(packed *anypb.Any) {
		kind, name, message := all.put(packed)
		check(byType[kind].UpdateResource(name, message))
	}
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "")
	kind := flag.String("cache", "snapshot", "")
	file := flag.String("resources", "", "")
	flag.Parse()
	data, err := os.ReadFile(*file)
	check(err)
	response, all := &discovery.DiscoveryResponse{}, resources{}
	check(proto.Unmarshal(data, response))
	for _, packed := range response.Resources {
		all.put(packed)
	}
	make := map[string]func(resources) (cache.Cache, func(*anypb.Any)){"snapshot": snapshot, "linear": linear}[*kind]
	held, change := make(all)
	listener, err := net.Listen("tcp", *address)
	check(err)
	rpc := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(rpc, server.NewServer(context.Background(), held, nil))
	go func() { check(rpc.Serve(listener)) }()
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	serve(change)
}

func serve(change func(*anypb.Any)) {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if err == io.EOF {
			return
		}
		check(err)
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "change" {
			data, err := base64.StdEncoding.DecodeString(rest)
			check(err)
			packed := &anypb.Any{}
			check(proto.Unmarshal(data, packed))
			change(packed)
			continue
		}
		var used syscall.Rusage
		check(syscall.Getrusage(syscall.RUSAGE_SELF, &used))
		fmt.Println((used.Utime.Nano() + used.Stime.Nano()) / 1000)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
