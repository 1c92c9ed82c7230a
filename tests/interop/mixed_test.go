package interop

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

var mixedQueues = map[string]int{"near": 3, "far": 1}

// serveMixed is Asynq's server as a process of its own; its handler does what
// handlers/fleet/work.lua does, with a file for a ledger.
func serveMixed() {
	ledger, err := os.OpenFile(os.Getenv("INTEROP_LEDGER"),
		os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	note := func(ctx context.Context, what string) {
		id, _ := asynq.GetTaskID(ctx)
		fmt.Fprintf(ledger, "%s|%.6f|%s\n", id,
			float64(time.Now().UnixMicro())/1e6, what)
	}
	server := asynq.NewServer(asynq.RedisClientOpt{Network: "unix",
		Addr: os.Getenv("INTEROP_MIXED")}, asynq.Config{
		Concurrency: 10, Queues: mixedQueues, LogLevel: asynq.FatalLevel,
		TaskCheckInterval:        50 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration {
			return time.Second
		},
	})
	if err := server.Start(asynq.HandlerFunc(func(ctx context.Context,
		task *asynq.Task) error {
		note(ctx, "begun")
		time.Sleep(20 * time.Millisecond)
		var payload struct{ N int }
		if err := json.Unmarshal(task.Payload(), &payload); err != nil {
			return err
		}
		retried, _ := asynq.GetRetryCount(ctx)
		if payload.N%100 == 7 && retried == 0 {
			note(ctx, "failed")
			return errors.New("on purpose")
		}
		note(ctx, "done")
		return nil
	})); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	select {}
}

// What Redis was told of one task, in order: its states, and when each.
type told struct {
	states []string
	at     []float64
}

// A mixed fleet: what its witness saw on Redis, and what its handlers wrote.
type mixed struct {
	*world
	mu      sync.Mutex
	told    map[string]*told
	count   map[string]int // states told; crashes counted
	over    chan struct{}
	ledger  string // of Go
	appDB   string // the database of lunaqd's handlers, with theirs
	current [4]func(syscall.Signal)
}

func (m *mixed) of(what string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.count[what]
}

// witness reads what Redis does, as it does it.
func (m *mixed) witness() {
	m.t.Helper()
	conn, err := net.Dial("unix", m.opt.Addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte("MONITOR\r\n")); err != nil {
		m.t.Fatal(err)
	}
	write := regexp.MustCompile(`^\+([0-9.]+) .*lua\] "HSET" ` +
		`"asynq:\{\w+\}:t:([^"]*)" .*"state" "(\w+)"`)
	in := bufio.NewReaderSize(conn, 1<<20)
	in.ReadString('\n')
	go func() {
		defer close(m.over)
		for {
			line, err := in.ReadString('\n')
			if err != nil || strings.Contains(line, `"the end of the test"`) {
				return
			}
			m.mu.Lock()
			if f := write.FindStringSubmatch(line); f != nil {
				task := m.told[f[2]]
				if task == nil {
					task = &told{}
					m.told[f[2]] = task
				}
				at, _ := strconv.ParseFloat(f[1], 64)
				task.states = append(task.states, f[3])
				task.at = append(task.at, at)
				m.count[f[3]]++
			} else if strings.Contains(line, `"lunaq_crashes" "1"`) &&
				strings.Contains(line, `"HINCRBY"`) {
				m.count["crashes"]++
			}
			m.mu.Unlock()
		}
	}()
}

// spawnWorker starts worker i: 0 and 1 are lunaqd's, 2 and 3 Go's.
func (m *mixed) spawnWorker(i int) {
	m.t.Helper()
	if i < 2 {
		m.current[i] = m.spawnLunaqd("near=3,far=1", "WORKER_CONCURRENCY=10",
			"LUNAQ_LEASE=10s", "LUNAQ_LOG_LEVEL=error",
			"DATABASE_URL=sqlite:"+m.appDB)
		return
	}
	var out bytes.Buffer
	cmd := exec.Command(os.Args[0])
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(os.Environ(), "INTEROP_MIXED="+m.opt.Addr,
		"INTEROP_LEDGER="+m.ledger)
	m.current[i] = m.spawn("Asynq", cmd, &out)
}

// produce puts n tasks by three kinds of clients at the same time.
func (m *mixed) produce(n int) *sync.WaitGroup {
	var all sync.WaitGroup
	queue := func(i int) string { return []string{"near", "far"}[i%2] }
	byCLI, byC := n/40, n*3/10
	fail := func(who string, err error, out []byte) {
		if err != nil {
			m.t.Errorf("%s: %v\n%s", who, err, out)
		}
	}
	all.Add(3)
	go func() {
		defer all.Done()
		for i := 0; i < byCLI; i++ {
			cmd := exec.Command(os.Getenv("LUNAQ"), "enqueue", "fleet:work",
				fmt.Sprintf("n:=%d", i), "--queue", queue(i), "--retention", "1h",
				"--task-id", fmt.Sprintf("cli-%d", i))
			cmd.Env, cmd.Dir = m.env(), m.dir
			out, err := cmd.CombinedOutput()
			fail("lunaq enqueue", err, out)
		}
	}()
	go func() {
		defer all.Done()
		for i := 0; i < 2; i++ {
			cmd := exec.Command(os.Getenv("INTEROP_PRODUCER"),
				"redis-socket://"+m.opt.Addr, "many", queue(i),
				fmt.Sprintf("c%d-", i), "0", fmt.Sprint(byC/2))
			cmd.Env = m.env()
			out, err := cmd.CombinedOutput()
			fail("producer", err, out)
		}
	}()
	go func() {
		defer all.Done()
		for i := 0; i < n-byCLI-byC/2*2; i++ {
			_, err := m.client.Enqueue(asynq.NewTask("fleet:work",
				[]byte(fmt.Sprintf(`{"n":%d}`, i))), asynq.Queue(queue(i)),
				asynq.TaskID(fmt.Sprintf("go-%d", i)), asynq.Retention(time.Hour))
			fail("Asynq's client", err, nil)
		}
	}()
	return &all
}

type entry struct {
	id, what string
	at       float64
}

// entries is what the handlers of both kinds wrote, in the order of time.
func (m *mixed) entries() []entry {
	m.t.Helper()
	ours, err := exec.Command("sqlite3", m.appDB,
		"select id, at, what from ledger").Output()
	m.ok(err)
	theirs, err := os.ReadFile(m.ledger)
	m.ok(err)
	var all []entry
	for _, line := range strings.Split(string(ours)+string(theirs), "\n") {
		if f := strings.Split(line, "|"); len(f) == 3 {
			at, err := strconv.ParseFloat(f[1], 64)
			m.ok(err)
			all = append(all, entry{f[0], f[2], at})
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].at < all[j].at })
	return all
}

// Clients and servers of both kinds on the same two queues, while workers of
// both kinds are killed: every task ends, nothing runs after its success was
// recorded, and the counters are what the handlers' ledger says.
func TestMixedFleetEndsEveryTask(t *testing.T) {
	t.Parallel()
	tool(t, "INTEROP_PRODUCER")
	if _, err := exec.LookPath("sqlite3"); err != nil {
		t.Skip("no sqlite3 in PATH")
	}
	total, seed := 20000, time.Now().UnixNano()
	if text := os.Getenv("LUNAQ_TEST_TASKS"); text != "" {
		total, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("LUNAQ_TEST_SEED"); text != "" {
		seed, _ = strconv.ParseInt(text, 10, 64)
	}
	t.Logf("%d tasks, LUNAQ_TEST_SEED=%d", total, seed)
	draw := rand.New(rand.NewSource(seed))
	w := newWorld(t)
	m := &mixed{world: w, told: map[string]*told{}, count: map[string]int{},
		over: make(chan struct{}), ledger: filepath.Join(w.dir, "go.ledger"),
		appDB: filepath.Join(w.dir, "app.db")}
	if out, err := exec.Command("sqlite3", m.appDB, "pragma journal_mode=wal;"+
		"create table ledger (id text, at real, what text)").CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	m.witness()
	for i := range m.current {
		m.spawnWorker(i)
	}
	producers := m.produce(total)

	// Go's are killed early: what they held comes back after a minute or two.
	type kill struct{ after, worker int }
	var kills []kill
	for i := 0; i < 6; i++ {
		kills = append(kills, kill{total/50 + draw.Intn(total*8/10), i % 2})
	}
	for i := 0; i < 4; i++ {
		kills = append(kills, kill{total/50 + draw.Intn(total*4/10), 2 + i%2})
	}
	sort.Slice(kills, func(i, j int) bool {
		return kills[i].after < kills[j].after
	})
	began := time.Now()
	wait := func(what string, limit time.Duration, done func() bool) {
		t.Helper()
		for end := time.Now().Add(limit); !done(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				m.mu.Lock()
				defer m.mu.Unlock()
				t.Fatalf("waited in vain: %s: %v", what, m.count)
			}
		}
	}
	for _, k := range kills {
		wait(fmt.Sprintf("%d are done", k.after), 4*time.Minute, func() bool {
			return m.of("completed") >= k.after
		})
		time.Sleep(time.Duration(draw.Intn(20)) * time.Millisecond)
		m.current[k.worker](syscall.SIGKILL)
		m.spawnWorker(k.worker)
	}
	producers.Wait()
	wait("every task ended", 5*time.Minute, func() bool {
		return m.of("completed")+m.of("archived") >= total
	})
	took := time.Since(began)
	for i := range m.current {
		if i < 2 {
			m.current[i](syscall.SIGTERM)
		} else {
			m.current[i](syscall.SIGKILL) // it holds nothing any more
		}
	}
	w.ok(w.redis.Echo(context.Background(), "the end of the test").Err())
	<-m.over

	runs, failures, crashes := m.count["active"], m.count["retry"],
		m.count["crashes"]
	t.Logf("%v: %d runs, %d failures, %d crashes of lunaqd's", took, runs,
		failures, crashes)
	processed, failed, size, completed := 0, 0, 0, 0
	for queue := range mixedQueues {
		info, err := w.inspector.GetQueueInfo(queue)
		if err != nil {
			t.Fatal(err)
		}
		processed += info.ProcessedTotal
		failed += info.FailedTotal
		size += info.Size
		completed += info.Completed
		key := "asynq:{" + queue + "}:"
		if n, err := w.redis.Exists(context.Background(), key+"lease",
			key+"active").Result(); err != nil || n != 0 {
			t.Errorf("%s: %d, %v: tasks are held by nobody", queue, n, err)
		}
	}
	if size != total || completed != total || len(m.told) != total {
		t.Errorf("%d tasks, %d completed, %d seen; wanted %d", size, completed,
			len(m.told), total)
	}
	if failed != failures || processed != total+failures {
		t.Errorf("counters: processed %d, failed %d; wanted %d, %d", processed,
			failed, total+failures, failures)
	}
	successAt := map[string]float64{}
	held := map[string]int{}  // how often it was taken
	after := map[string]int{} // what came after a take
	for id, task := range m.told {
		for i, state := range task.states {
			if state == "completed" {
				successAt[id] = task.at[i]
				if i != len(task.states)-1 {
					t.Fatalf("task %s: after its success came more: %v", id,
						task.states)
				}
			}
			if state == "active" && i < len(task.states)-1 {
				held[id]++
				after[task.states[i+1]]++
			}
		}
	}
	// Pending: its holder was killed, or had no slot for it any more.
	// Scheduled: a suspect, put off because another ran.
	back := after["pending"] - crashes
	if back < 0 || back > 10*len(kills) || after["retry"] != failures ||
		after["completed"] != total ||
		runs != total+failures+crashes+back+after["scheduled"] {
		t.Errorf("of %d runs became: %v; %d crashes, %d failures", runs, after,
			crashes, failures)
	}

	// The ledger, against what was recorded.
	begun, done := map[string]int{}, map[string]int{}
	planned, repeated := 0, 0
	for _, e := range m.entries() {
		switch e.what {
		case "begun":
			begun[e.id]++
			if e.at > successAt[e.id] {
				t.Errorf("%s ran again after its success was recorded", e.id)
			}
		case "done":
			done[e.id]++
			if done[e.id] > 1 {
				repeated++
			}
		case "failed":
			planned++
		}
	}
	if len(begun) != total || len(done) != total {
		t.Errorf("the ledger knows %d tasks begun, %d done; wanted %d",
			len(begun), len(done), total)
	}
	for id, n := range begun {
		if n > held[id] {
			t.Errorf("%s was begun %d times, taken %d times", id, n, held[id])
		}
	}
	// A failure is one of the ledger's, or of a task that Go held when killed;
	// one that would have failed on purpose may be among these.
	lost := failures - planned
	if planned+lost < total/100 || planned < total/200 ||
		lost < 0 && -lost > crashes {
		t.Errorf("%d failures are recorded, %d in the ledger", failures, planned)
	}
	t.Logf("ledger: %d done, %d of them again after a kill; %d failed on purpose",
		total+repeated, repeated, planned)
	if repeated > crashes+lost+len(kills) {
		t.Errorf("%d tasks were done again, and only %d were held by the killed",
			repeated, crashes+lost)
	}
	if crashes == 0 || lost <= 0 {
		t.Errorf("the killed held nothing: %d of lunaqd's, %d of Go's", crashes,
			lost)
	}
	w.lunaq("fsck")
}
