// Asynq's side of the comparison: the same work as the lunaq programs of
// tests/bench, in Go, against the same Redis.
//
//	bench enqueue -n 50000 -producers 8   prints the seconds it took
//	bench serve -concurrency 10           runs no-op tasks until TERM
//	bench latency -rate 200 -seconds 10   prints enqueue -> start, p50 and p99
//	bench lateness -rate 200 -seconds 10  prints due -> start of scheduled tasks
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

const taskType = "bench:noop"

var (
	redisAddr   = flag.String("redis", "127.0.0.1:6379", "host:port")
	queue       = flag.String("queue", "bench", "queue")
	count       = flag.Int("n", 1000, "tasks to enqueue")
	producers   = flag.Int("producers", 1, "goroutines that enqueue")
	concurrency = flag.Int("concurrency", 10, "tasks run at once")
	rate        = flag.Int("rate", 200, "tasks a second")
	seconds     = flag.Int("seconds", 10, "how long")
)

func main() {
	log.SetFlags(0)
	if len(os.Args) < 2 {
		log.Fatal("usage: bench enqueue|serve|latency|lateness [options]")
	}
	verb := os.Args[1]
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		log.Fatal(err)
	}
	redis := asynq.RedisClientOpt{Addr: *redisAddr}
	switch verb {
	case "enqueue":
		enqueue(redis)
	case "serve":
		serve(redis)
	case "latency":
		measure(redis, func(now time.Time) (time.Time, []asynq.Option) {
			return now, nil
		})
	case "lateness":
		// Due at the second whole second from now: scores are whole seconds.
		measure(redis, func(now time.Time) (time.Time, []asynq.Option) {
			due := now.Truncate(time.Second).Add(2 * time.Second)
			return due, []asynq.Option{asynq.ProcessAt(due)}
		})
	default:
		log.Fatalf("bench: unknown verb %q", verb)
	}
}

func newServer(redis asynq.RedisClientOpt) *asynq.Server {
	return asynq.NewServer(redis, asynq.Config{
		Concurrency: *concurrency,
		Queues:      map[string]int{*queue: 1},
		LogLevel:    asynq.WarnLevel,
	})
}

func enqueue(redis asynq.RedisClientOpt) {
	client := asynq.NewClient(redis)
	defer client.Close()
	payload := []byte(`{"n":1}`)
	start := time.Now()
	var wg sync.WaitGroup
	for p := 0; p < *producers; p++ {
		share := *count / *producers
		if p < *count%*producers {
			share++
		}
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; i < share; i++ {
				task := asynq.NewTask(taskType, payload)
				if _, err := client.Enqueue(task, asynq.Queue(*queue)); err != nil {
					log.Fatal(err)
				}
			}
		}()
	}
	wg.Wait()
	fmt.Printf("seconds %.6f\n", time.Since(start).Seconds())
}

func serve(redis asynq.RedisClientOpt) {
	mux := asynq.NewServeMux()
	mux.HandleFunc(taskType, func(context.Context, *asynq.Task) error { return nil })
	mux.HandleFunc("bench:sleep", func(_ context.Context, t *asynq.Task) error {
		var wanted struct{ Ms int }
		if err := json.Unmarshal(t.Payload(), &wanted); err != nil {
			return err
		}
		time.Sleep(time.Duration(wanted.Ms) * time.Millisecond)
		return nil
	})
	if err := newServer(redis).Run(mux); err != nil {
		log.Fatal(err)
	}
}

// taskAt says what a task waits for: its instant, which the payload carries, and
// its options. Both instants are on the clock of this process, which is also the
// one that runs the handler.
func measure(redis asynq.RedisClientOpt, taskAt func(now time.Time) (time.Time, []asynq.Option)) {
	var mu sync.Mutex
	var took []time.Duration
	server := newServer(redis)
	err := server.Start(asynq.HandlerFunc(func(_ context.Context, t *asynq.Task) error {
		at := time.Unix(0, int64(binary.BigEndian.Uint64(t.Payload())))
		d := time.Since(at)
		mu.Lock()
		took = append(took, d)
		mu.Unlock()
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	client := asynq.NewClient(redis)
	defer client.Close()
	time.Sleep(time.Second) // the queue is idle, the server is waiting

	total := *rate * *seconds
	next := time.Now()
	for i := 0; i < total; i++ {
		at, options := taskAt(time.Now())
		payload := make([]byte, 8)
		binary.BigEndian.PutUint64(payload, uint64(at.UnixNano()))
		options = append(options, asynq.Queue(*queue))
		if _, err := client.Enqueue(asynq.NewTask(taskType, payload), options...); err != nil {
			log.Fatal(err)
		}
		next = next.Add(time.Second / time.Duration(*rate))
		time.Sleep(time.Until(next))
	}
	deadline := time.Now().Add(15 * time.Second)
	for time.Now().Before(deadline) {
		mu.Lock()
		n := len(took)
		mu.Unlock()
		if n >= total {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	server.Shutdown()
	if len(took) < total {
		log.Fatalf("bench: %d of %d tasks ran", len(took), total)
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	at := func(q float64) float64 {
		return float64(took[int(q*float64(len(took)-1))]) / 1e6
	}
	fmt.Printf("p50_ms %.3f\np99_ms %.3f\n", at(0.50), at(0.99))
}
