package interop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// serve is Asynq's server as a process of its own, which can be killed.
func serve() {
	server := asynq.NewServer(asynq.RedisClientOpt{Network: "unix",
		Addr: os.Getenv("INTEROP_SERVER")}, asynq.Config{
		Concurrency: 8, Queues: map[string]int{"fleet": 1},
		LogLevel: asynq.FatalLevel, TaskCheckInterval: 50 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
	})
	if err := server.Start(asynq.HandlerFunc(func(context.Context,
		*asynq.Task) error {
		time.Sleep(30 * time.Millisecond)
		return nil
	})); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

func (w *world) spawnGo() func(syscall.Signal) {
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "INTEROP_SERVER="+w.opt.Addr)
	return w.spawn("Asynq", cmd, &out)
}

// A witness sees every state that Redis is told of a task, in their order.
type witness struct {
	sync.Mutex
	states map[string][]string
	count  map[string]int
	over   chan struct{}
}

func (w *world) watch() *witness {
	w.t.Helper()
	conn, err := net.Dial("unix", w.opt.Addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		w.t.Fatal(err)
	}
	seen := &witness{states: map[string][]string{}, count: map[string]int{},
		over: make(chan struct{})}
	write := regexp.MustCompile(
		`lua\] "HSET" "asynq:\{fleet\}:t:([^"]*)" .*"state" "(\w+)"`)
	in := bufio.NewReaderSize(conn, 1<<20)
	in.ReadString('\n')
	go func() {
		defer close(seen.over)
		for {
			line, err := in.ReadString('\n')
			if err != nil || strings.Contains(line, `"the end of the test"`) {
				return
			}
			seen.Lock()
			if m := write.FindStringSubmatch(line); m != nil {
				seen.states[m[1]] = append(seen.states[m[1]], m[2])
				seen.count[m[2]]++
			} else if strings.Contains(line, `"lunaq_crashes" "1"`) &&
				strings.Contains(line, `"HINCRBY"`) {
				seen.count["crashes"]++
			}
			seen.Unlock()
		}
	}()
	return seen
}

func (s *witness) of(state string) int {
	s.Lock()
	defer s.Unlock()
	return s.count[state]
}

// Both kinds of server on one queue; either is killed while it works.
func TestFleetLosesNothingWhenKilled(t *testing.T) {
	t.Parallel()
	const total, byLunaq = 5000, 50
	ctx := context.Background()
	w := newWorld(t)
	seen := w.watch()
	lunaqd := func() func(syscall.Signal) {
		return w.spawnLunaqd("fleet=1", "WORKER_CONCURRENCY=8",
			"LUNAQ_LEASE=10s")
	}
	for i := 0; i < total; i++ {
		if i%(total/byLunaq) == 0 {
			w.lunaq("enqueue", "interop:nap", "--queue", "fleet", "--retention",
				"1h")
		} else {
			w.enqueue(asynq.NewTask("interop:nap", nil), asynq.Queue("fleet"),
				asynq.Retention(time.Hour))
		}
	}
	info := func() *asynq.QueueInfo {
		got, err := w.inspector.GetQueueInfo("fleet")
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	reach := func(n int) {
		w.until(fmt.Sprintf("%d are done", n), func() bool {
			return seen.of("completed") >= n
		})
	}

	killLunaqd, killGo := lunaqd(), w.spawnGo()
	reach(total / 5)
	killLunaqd(syscall.SIGKILL)
	killLunaqd = lunaqd()
	reach(total * 2 / 5)
	killGo(syscall.SIGKILL)
	// What Go held is not renewed any more: as if a minute had passed.
	leases, err := w.redis.ZRangeWithScores(ctx, "asynq:{fleet}:lease", 0,
		-1).Result()
	w.ok(err)
	for _, z := range leases {
		if z.Score == float64(int64(z.Score)) {
			w.ok(w.redis.Do(ctx, "ZADD", "asynq:{fleet}:lease", "XX",
				int64(z.Score)-61, z.Member).Err())
		}
	}
	killGo = w.spawnGo()
	reach(total * 3 / 5)
	killLunaqd(syscall.SIGKILL)
	killLunaqd = lunaqd()
	defer func() {
		if t.Failed() {
			leases, _ := w.redis.ZRangeWithScores(ctx, "asynq:{fleet}:lease", 0,
				-1).Result()
			t.Logf("%+v; leases %v", info(), leases)
		}
	}()
	w.until("all are done", func() bool {
		if n, err := w.inspector.RunAllRetryTasks("fleet"); err != nil {
			t.Fatal(n, err)
		}
		return info().Completed == total
	})
	killLunaqd(syscall.SIGTERM)
	killGo(syscall.SIGKILL)
	w.ok(w.redis.Echo(ctx, "the end of the test").Err())
	<-seen.over

	got := info()
	t.Logf("runs %d, failed %d, crashes %d", seen.count["active"],
		got.FailedTotal, seen.count["crashes"])
	if got.Size != total || got.FailedTotal != seen.count["retry"] ||
		got.ProcessedTotal != total+got.FailedTotal ||
		got.Processed != got.ProcessedTotal {
		t.Errorf("%+v; %d retries were seen", got, seen.count["retry"])
	}
	if n := seen.count["crashes"]; n == 0 {
		t.Error("lunaqd held nothing when it was killed: the test has no point")
	}
	if n := seen.count["retry"]; n == 0 {
		t.Error("Go held nothing when it was killed: the test has no point")
	}
	if want := total + seen.count["retry"] +
		seen.count["crashes"]; seen.count["active"] != want {
		t.Errorf("%d runs, wanted %d", seen.count["active"], want)
	}
	if n, err := w.redis.Exists(ctx, "asynq:{fleet}:lease",
		"asynq:{fleet}:active").Result(); err != nil || n != 0 {
		t.Errorf("%d, %v: tasks are held by nobody", n, err)
	}
	if len(seen.states) != total {
		t.Errorf("%d tasks were seen", len(seen.states))
	}
	for id, states := range seen.states {
		for i, state := range states {
			if state == "completed" && i != len(states)-1 {
				t.Fatalf("task %s: after its success came more: %v", id, states)
			}
		}
	}
}
