// Command asynqmon is Asynqmon as it is released, its server and its pages, on
// a free port of the loopback alone, which it prints; /metrics is what
// Asynq's exporter for Prometheus tells of the queues.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/hibiken/asynq"
	"github.com/hibiken/asynq/x/metrics"
	"github.com/hibiken/asynqmon"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

func main() {
	redis := flag.String("redis", "", "path of Redis' socket")
	addr := flag.String("prometheus", "", "URL of Prometheus")
	flag.Parse()
	opt := asynq.RedisClientOpt{Network: "unix", Addr: *redis}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(metrics.NewQueueMetricsCollector(
		asynq.NewInspector(opt)))
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		ErrorHandling: promhttp.HTTPErrorOnError}))
	mux.Handle("/", asynqmon.New(asynqmon.Options{RedisConnOpt: opt,
		PrometheusAddress: *addr}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%v\n", listener.Addr())
	log.Fatal(http.Serve(listener, mux))
}
