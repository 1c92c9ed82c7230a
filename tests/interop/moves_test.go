package interop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// What the handlers in Lua do, in Go.
func likeLua(ctx context.Context, task *asynq.Task) error {
	switch task.Type() {
	case "interop:ok":
		_, err := task.ResultWriter().Write([]byte("ok"))
		return err
	case "interop:fail":
		return errors.New("on purpose")
	case "interop:refuse":
		return fmt.Errorf("never again: %w", asynq.SkipRetry)
	case "interop:discard":
		return fmt.Errorf("not wanted: %w", asynq.RevokeTask)
	default:
		<-ctx.Done()
		return ctx.Err()
	}
}

// A move is done by lunaq on one Redis and by Asynq on another; then both
// must hold the same.
type move struct {
	name  string
	task  string          // its type; "" enqueues nothing
	opts  []asynq.Option  // for Asynq's client
	flags []string        // the same for lunaq's
	state asynq.TaskState // where it comes to rest; 0: it is deleted
	then  func(w *world, queue string)
	still bool // no server serves the queue
}

const one = "one" // the id of every task

func at(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

func moves() []move {
	later := time.Now().Add(2 * time.Hour).Truncate(time.Second)
	pending, scheduled := asynq.TaskStatePending, asynq.TaskStateScheduled
	retry, archived := asynq.TaskStateRetry, asynq.TaskStateArchived
	completed, active := asynq.TaskStateCompleted, asynq.TaskStateActive
	aggregating := asynq.TaskStateAggregating
	unique, uniqueFlag := asynq.Unique(time.Hour), []string{"--unique", "1h"}
	keep, keepFlag := asynq.Retention(time.Hour), []string{"--retention", "1h"}
	type opts = []asynq.Option
	type flags = []string
	both := func(a flags, b ...string) flags {
		return append(append(flags{}, a...), b...)
	}
	all := []move{
		{name: "enqueue", task: "interop:ok", state: pending, still: true},
		{name: "enqueue_with_options", task: "interop:ok", state: pending,
			opts: opts{asynq.MaxRetry(3), asynq.Timeout(90 * time.Second),
				asynq.Deadline(later), keep},
			flags: both(keepFlag, "--max-retry", "3", "--timeout", "90s",
				"--deadline", at(later)), still: true},
		{name: "enqueue_without_retries", task: "interop:ok", state: pending,
			opts: opts{asynq.MaxRetry(0)}, flags: flags{"--max-retry", "0"},
			still: true},
		{name: "schedule", task: "interop:ok", state: scheduled,
			opts: opts{asynq.ProcessAt(later)}, flags: flags{"--process-at", at(later)},
			still: true},
		{name: "unique", task: "interop:ok", state: pending,
			opts: opts{unique}, flags: uniqueFlag, still: true},
		{name: "unique_refused", task: "interop:ok", state: pending,
			opts: opts{unique}, flags: uniqueFlag, still: true,
			then: func(w *world, queue string) { w.refused(queue) }},
		{name: "unique_scheduled", task: "interop:ok", state: scheduled,
			opts:  opts{unique, asynq.ProcessAt(later)},
			flags: both(uniqueFlag, "--process-at", at(later)), still: true},
		{name: "group", task: "interop:ok", state: aggregating,
			opts: opts{asynq.Group("g")}, flags: flags{"--group", "g"},
			still: true},
		{name: "group_unique", task: "interop:ok", state: aggregating,
			opts:  opts{asynq.Group("g"), unique},
			flags: both(uniqueFlag, "--group", "g"), still: true},
		{name: "group_scheduled", task: "interop:ok", state: scheduled,
			opts:  opts{asynq.Group("g"), asynq.ProcessAt(later)},
			flags: flags{"--group", "g", "--process-at", at(later)}, still: true},

		{name: "dequeue", task: "interop:wait", state: active},
		{name: "dequeue_unique", task: "interop:wait", state: active,
			opts: opts{unique}, flags: uniqueFlag},
		{name: "done", task: "interop:ok"},
		{name: "done_unique", task: "interop:ok", opts: opts{unique},
			flags: uniqueFlag},
		{name: "discard", task: "interop:discard", opts: opts{unique, keep},
			flags: both(uniqueFlag, keepFlag...)},
		{name: "complete", task: "interop:ok", state: completed,
			opts: opts{keep, unique}, flags: both(keepFlag, uniqueFlag...)},
		{name: "retention_over", task: "interop:ok",
			opts:  opts{asynq.Retention(time.Second)},
			flags: flags{"--retention", "1s"}},
		{name: "retry", task: "interop:fail", state: retry},
		{name: "retry_unique", task: "interop:fail", state: retry,
			opts: opts{unique}, flags: uniqueFlag},
		{name: "no_retry_left", task: "interop:fail", state: archived,
			opts:  opts{asynq.MaxRetry(0), unique},
			flags: both(uniqueFlag, "--max-retry", "0")},
		{name: "skip_retry", task: "interop:refuse", state: archived,
			opts: opts{unique}, flags: uniqueFlag},
		{name: "cancel_processing", task: "interop:wait", state: active,
			then: func(w *world, queue string) {
				w.ok(w.inspector.CancelProcessing(one))
				w.settled(queue, one, retry)
			}},
		{name: "pause", then: func(w *world, queue string) { w.pause(queue) }},
		{name: "unpause", then: func(w *world, queue string) {
			w.pause(queue)
			w.resume(queue)
		}},
		{name: "forward", then: func(w *world, queue string) {
			w.pause(queue)
			w.put(move{task: "interop:ok", opts: opts{asynq.ProcessIn(time.Second)},
				flags: flags{"--process-in", "1s"}}, queue)
			w.settled(queue, one, pending)
		}},
		{name: "forward_retry", task: "interop:fail", state: retry,
			then: func(w *world, queue string) {
				w.pause(queue)
				w.rescore(queue, "retry", time.Now())
				w.settled(queue, one, pending)
			}},
	}

	// Asynq's inspector on a task in every state; whoever made it.
	for _, state := range []struct {
		name  string
		made  move
		still bool
	}{
		{"pending", move{task: "interop:ok", state: pending}, true},
		{"scheduled", move{task: "interop:ok", state: scheduled,
			opts:  opts{unique, asynq.ProcessAt(later)},
			flags: both(uniqueFlag, "--process-at", at(later))}, true},
		{"aggregating", move{task: "interop:ok", state: aggregating,
			opts: opts{asynq.Group("g")}, flags: flags{"--group", "g"}}, true},
		{"retry", move{task: "interop:fail", state: retry,
			opts: opts{unique}, flags: uniqueFlag}, false},
		{"archived", move{task: "interop:refuse", state: archived,
			opts: opts{unique}, flags: uniqueFlag}, false},
		{"completed", move{task: "interop:ok", state: completed,
			opts: opts{keep}, flags: keepFlag}, false},
	} {
		for _, op := range []struct {
			name string
			do   func(in *asynq.Inspector, queue, id string) error
		}{
			{"run", (*asynq.Inspector).RunTask},
			{"archive", (*asynq.Inspector).ArchiveTask},
			{"delete", (*asynq.Inspector).DeleteTask},
		} {
			m := state.made
			m.name = op.name + "_of_" + state.name
			m.still = state.still
			if op.name == "archive" && state.name == "archived" ||
				op.name == "run" && state.name == "pending" {
				continue
			}
			m.then = func(w *world, queue string) {
				if !state.still {
					w.ok(w.inspector.PauseQueue(queue))
				}
				w.ok(op.do(w.inspector, queue, one))
			}
			all = append(all, m)
		}
	}
	for _, op := range []struct {
		name string
		do   func(in *asynq.Inspector, queue string) (int, error)
	}{
		{"run_all", (*asynq.Inspector).RunAllRetryTasks},
		{"archive_all", (*asynq.Inspector).ArchiveAllRetryTasks},
		{"delete_all", (*asynq.Inspector).DeleteAllRetryTasks},
	} {
		all = append(all, move{name: op.name, task: "interop:fail", state: retry,
			opts: opts{unique}, flags: uniqueFlag,
			then: func(w *world, queue string) {
				w.ok(w.inspector.PauseQueue(queue))
				n, err := op.do(w.inspector, queue)
				w.ok(err)
				if n != 1 {
					w.t.Errorf("it moved %d tasks", n)
				}
			}})
	}
	return all
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Error(err)
	}
}

// put enqueues by this world's client.
func (w *world) put(m move, queue string) {
	w.t.Helper()
	if w.ours {
		w.lunaq(append([]string{"enqueue", m.task, "a:=1", "--queue", queue,
			"--task-id", one}, m.flags...)...)
	} else {
		w.enqueue(asynq.NewTask(m.task, []byte(`{"a":1}`)),
			append(append([]asynq.Option{}, m.opts...), asynq.Queue(queue),
				asynq.TaskID(one))...)
	}
}

// refused enqueues a second task with the same unique key.
func (w *world) refused(queue string) {
	w.t.Helper()
	if w.ours {
		if out := w.lunaqFails("enqueue", "interop:ok", "a:=1", "--queue", queue,
			"--unique", "1h"); !strings.Contains(out, "unique") {
			w.t.Errorf("lunaq said %q", out)
		}
	} else if _, err := w.client.Enqueue(asynq.NewTask("interop:ok",
		[]byte(`{"a":1}`)), asynq.Queue(queue), asynq.Unique(time.Hour)); !errors.Is(err,
		asynq.ErrDuplicateTask) {
		w.t.Errorf("Asynq said %v", err)
	}
}

func (w *world) pause(queue string) {
	w.t.Helper()
	w.ok(w.redis.SAdd(context.Background(), "asynq:queues", queue).Err())
	if w.ours {
		w.lunaq("queue", "pause", queue)
	} else {
		w.ok(w.inspector.PauseQueue(queue))
	}
}

func (w *world) resume(queue string) {
	w.t.Helper()
	if w.ours {
		w.lunaq("queue", "resume", queue)
	} else {
		w.ok(w.inspector.UnpauseQueue(queue))
	}
}

// rescore makes a member due, as time would.
func (w *world) rescore(queue, set string, when time.Time) {
	w.t.Helper()
	ctx := context.Background()
	key := "asynq:{" + queue + "}:" + set
	score, err := w.redis.ZScore(ctx, key, one).Result()
	w.ok(err)
	// The fraction stays: it is the holder's token.
	w.ok(w.redis.ZIncrBy(ctx, key, float64(when.Unix())-float64(int64(score)),
		one).Err())
}

// rest waits until the move has come to its end.
func (w *world) rest(m move, queue string) {
	w.t.Helper()
	if m.task == "" {
		return
	}
	if m.state != 0 {
		w.settled(queue, one, m.state)
		return
	}
	w.until("the task is gone", func() bool {
		n, err := w.redis.Exists(context.Background(),
			"asynq:{"+queue+"}:t:"+one).Result()
		return err == nil && n == 0
	})
}

func TestEveryMoveLeavesWhatAsynqLeaves(t *testing.T) {
	t.Parallel()
	ours, theirs := newWorld(t), newWorld(t)
	ours.ours = true
	var names []string
	queues := map[string]int{}
	for _, m := range moves() {
		if !m.still {
			names = append(names, m.name+"=1")
			queues[m.name] = 1
		}
	}
	ours.startLunaqd(strings.Join(names, ","), "WORKER_CONCURRENCY=50")
	server := asynq.NewServer(theirs.opt, asynq.Config{
		Concurrency: 50, Queues: queues, LogLevel: asynq.FatalLevel,
		TaskCheckInterval:        200 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second, JanitorInterval: time.Second,
		ShutdownTimeout: time.Millisecond,
	})
	if err := server.Start(asynq.HandlerFunc(likeLua)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)

	for _, m := range moves() {
		t.Run(m.name, func(t *testing.T) {
			got := map[*world]snapshot{}
			for _, w := range []*world{ours, theirs} {
				old := w.t
				w.t = t
				if m.task != "" {
					w.put(m, m.name)
					w.rest(m, m.name)
				}
				if m.then != nil {
					m.then(w, m.name)
				}
				got[w] = w.snapshotOf(m.name)
				w.numbers(m.name, got[w])
				w.t = old
			}
			same(t, got[ours], got[theirs])
		})
	}
}

// A server that is stopped gives its tasks back, first in line.
func TestShutdownGivesBackAsAsynqDoes(t *testing.T) {
	ours, theirs := newWorld(t), newWorld(t)
	ours.ours = true
	m := move{task: "interop:wait", opts: []asynq.Option{asynq.Unique(time.Hour)},
		flags: []string{"--unique", "1h"}}
	stop := ours.spawnLunaqd("q=1", "LUNAQ_SHUTDOWN_TIMEOUT=100ms")
	server := asynq.NewServer(theirs.opt, asynq.Config{Concurrency: 1,
		Queues: map[string]int{"q": 1}, LogLevel: asynq.FatalLevel,
		ShutdownTimeout: 100 * time.Millisecond})
	if err := server.Start(asynq.HandlerFunc(likeLua)); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*world{ours, theirs} {
		w.put(m, "q")
		w.settled("q", one, asynq.TaskStateActive)
	}
	stop(syscall.SIGTERM)
	server.Shutdown()
	var got []snapshot
	for _, w := range []*world{ours, theirs} {
		s := w.snapshotOf("q")
		w.numbers("q", s)
		got = append(got, s)
		if servers, err := w.inspector.Servers(); err != nil || len(servers) > 0 {
			t.Errorf("servers %v, %v after a clean end", servers, err)
		}
	}
	// Asynq forgets since when a task has been waiting.
	since := "asynq:{q}:t:" + one + "[pending_since]"
	if _, waits := got[0][since]; !waits {
		t.Error("what was given back does not say since when it waits")
	}
	delete(got[0], since)
	same(t, got[0], got[1])
}

// Where lunaq means to differ: a deadline that has passed comes no more, so
// what Asynq would fail again at each retry is archived at once.
func TestDeadlinePassedIsTheEnd(t *testing.T) {
	w := newWorld(t)
	w.startLunaqd("q=1")
	w.enqueue(asynq.NewTask("interop:ok", nil), asynq.Queue("q"),
		asynq.TaskID(one), asynq.Deadline(time.Unix(1700000000, 0)))
	info := w.settled("q", one, asynq.TaskStateArchived)
	if info.Retried != 0 || !strings.Contains(info.LastErr, "deadline") {
		t.Errorf("archived as %+v", info)
	}
}

// A task that Asynq's server held when it died.
func TestBothRecoverWhatGoHeld(t *testing.T) {
	t.Parallel()
	ours, theirs := newWorld(t), newWorld(t)
	ours.ours = true
	ctx := context.Background()
	recovered := map[int]asynq.TaskState{
		25: asynq.TaskStateRetry, 0: asynq.TaskStateArchived}
	for _, w := range []*world{ours, theirs} {
		for max := range recovered {
			queue := "max" + strconv.Itoa(max)
			w.enqueue(asynq.NewTask("interop:ok", []byte(`{"a":1}`)),
				asynq.Queue(queue), asynq.TaskID(one), asynq.MaxRetry(max),
				asynq.Unique(time.Hour))
			key := "asynq:{" + queue + "}:"
			w.ok(w.redis.LMove(ctx, key+"pending", key+"active", "right",
				"left").Err())
			w.ok(w.redis.Do(ctx, "ZADD", key+"lease",
				time.Now().Unix()-31, one).Err())
			w.ok(w.redis.HSet(ctx, key+"t:"+one, "state", "active").Err())
			w.ok(w.redis.HDel(ctx, key+"t:"+one, "pending_since").Err())
		}
	}
	ours.startLunaqd("max25=1,max0=1")
	server := asynq.NewServer(theirs.opt, asynq.Config{Concurrency: 1,
		Queues:   map[string]int{"max25": 1, "max0": 1},
		LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(likeLua)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	for max, state := range recovered {
		queue := "max" + strconv.Itoa(max)
		var got []snapshot
		for _, w := range []*world{theirs, ours} {
			info := w.settled(queue, one, state)
			if info.LastErr != "asynq: task lease expired" {
				t.Errorf("the error is %q", info.LastErr)
			}
		}
		for _, w := range []*world{ours, theirs} {
			s := w.snapshotOf(queue)
			w.numbers(queue, s)
			// They found it at different times.
			for p, c := range s {
				if c.text == "instant" || strings.HasSuffix(p, ":retry["+one+"]") {
					s[p] = cell{text: "instant"}
				}
				if strings.HasSuffix(c.text, "with an end") {
					s[p] = cell{text: c.text}
				}
			}
			got = append(got, s)
		}
		same(t, got[0], got[1])
	}
}

// A task that lunaqd held when it was killed, and only Go is left.
func TestAsynqRecoversWhatLunaqdHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ours = true
	stop := w.spawnLunaqd("q=1")
	w.put(move{task: "interop:wait", flags: []string{"--unique", "1h"}}, "q")
	w.settled("q", one, asynq.TaskStateActive)
	stop(syscall.SIGKILL)
	w.rescore("q", "lease", time.Now().Add(-31*time.Second))
	active, err := w.inspector.ListActiveTasks("q")
	if err != nil || len(active) != 1 || !active[0].IsOrphaned {
		t.Errorf("active tasks %+v, %v; wanted one orphan", active, err)
	}
	w.startAsynq("q", likeLua)
	info := w.settled("q", one, asynq.TaskStateRetry)
	if info.Retried != 1 || info.LastErr != "asynq: task lease expired" {
		t.Errorf("recovered as %+v", info)
	}
	w.numbers("q", snapshot{})
	w.ok(w.inspector.DeleteTask("q", one))
	if keys, err := w.redis.Keys(context.Background(),
		"asynq:{q}:[tu]*").Result(); err != nil || len(keys) > 0 {
		t.Errorf("%v, %v are left", keys, err)
	}
}

// What lunaqd held, lunaqd takes up again, and Asynq's tools see all of it.
func TestLunaqdRecoversWhatLunaqdHeld(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.ours = true
	stop := w.spawnLunaqd("q=1")
	w.put(move{task: "interop:wait"}, "q")
	w.settled("q", one, asynq.TaskStateActive)
	stop(syscall.SIGKILL)
	w.rescore("q", "lease", time.Now().Add(-time.Second))
	w.ok(w.inspector.PauseQueue("q"))
	w.startLunaqd("q=1")
	info := w.settled("q", one, asynq.TaskStatePending)
	if info.Retried != 0 || info.LastErr != "" {
		t.Errorf("recovered as %+v: a crash is not a failure", info)
	}
	fields, err := w.redis.HGetAll(context.Background(),
		"asynq:{q}:t:"+one).Result()
	if err != nil || fields["lunaq_crashes"] != "1" {
		t.Errorf("the hash holds %v, %v", fields, err)
	}
	w.numbers("q", snapshot{})
}

// A scheduled task of a group: Go's forwarder, which puts names of groups
// nowhere, must not put it where nobody looks.
func TestGroupTaskScheduledByLunaqIsNotLostByGo(t *testing.T) {
	w := newWorld(t)
	w.ours = true
	w.put(move{task: "interop:ok", flags: []string{"--group", "g", "--process-in", "1s"}},
		"q")
	w.startAsynq("q", likeLua)
	w.rest(move{task: "interop:ok"}, "q")
}

func TestMain(m *testing.M) {
	if os.Getenv("INTEROP_MIXED") != "" {
		serveMixed()
		return
	}
	if os.Getenv("INTEROP_SERVER") != "" {
		serve()
		return
	}
	os.Exit(m.Run())
}
