package interop

import (
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// A full world holds tasks that lunaq made, and lunaqd worked, in every state
// a task can be in; each state another number of them, so that none can be
// taken for another.
type full struct {
	*world
	// state → ids, in the paused queue full.  Waiting in a group: groups.
	ids    map[string][]string
	groups map[string][]string
	entry  string // the id of the periodic entry that fired

	began, deadline time.Time
}

var fullHandlers = map[string]string{
	"wait.lua": `return function() lunaq.sleep(240) end`,
	"later.lua": `return { backoff = { "1h" },
		run = function() error("not today, säge ✓") end }`,
	"refuse.lua": `return function() return lunaq.skip_retry("never again") end`,
	"ok.lua":     `return function(task) return { got = task.payload.n } end`,
	"often.lua": `return { cron = { spec = "@every 1s", payload = { tick = 1 } },
		queue = "ticks", unique = "1h", max_retry = 3, run = function() end }`,
	"seldom.lua": `return { cron = "0 4 * * mon", queue = "ticks",
		run = function() end }`,
}

const fullQueue = "full"

func newFullWorld(t *testing.T) *full {
	t.Helper()
	f := &full{world: newWorld(t), ids: map[string][]string{},
		groups: map[string][]string{}, began: time.Now(),
		deadline: time.Now().Add(5 * time.Hour).Truncate(time.Second)}
	f.ours = true
	// The queues side and ticks are served by nobody.
	f.startHandlers(fullHandlers, "LUNAQ_QUEUES="+fullQueue+"=3",
		"WORKER_CONCURRENCY=7")

	for _, kind := range []struct {
		task, state string
		count       int
		flags       []string
	}{
		{"wait", "active", 2, nil},
		{"later", "retry", 3, nil},
		{"refuse", "archived", 6, nil},
		{"ok", "completed", 5, []string{"--retention", "1h"}},
		{"ok", "scheduled", 8, []string{"--process-in", "2h", "--header",
			"trace=a b", "--header", "von=Größe", "--timeout", "90s",
			"--max-retry", "4", "--deadline", at(f.deadline)}},
	} {
		for i := 0; i < kind.count; i++ {
			f.add(kind.state, kind.task, i, kind.flags...)
		}
		for _, id := range f.ids[kind.state] {
			f.settled(fullQueue, id, stateNamed(t, kind.state))
		}
	}
	f.lunaq("queue", "pause", fullQueue)
	// What takes a task looks at the pause in the same script.
	for i := 0; i < 10; i++ {
		f.add("pending", "ok", i)
	}
	for i := 0; i < 5; i++ {
		group := []string{"letters", "letters", "letters", "bills", "bills"}[i]
		f.add("aggregating", "ok", i, "--group", group)
		f.groups[group] = append(f.groups[group], f.ids["aggregating"][i])
	}
	f.lunaq("enqueue", "ok", "--queue", "side")
	f.lunaq("enqueue", "ok", "--queue", "side", "--process-in", "1h")
	f.until("a periodic entry fired", func() bool {
		entries, err := f.inspector.SchedulerEntries()
		for _, e := range entries {
			if e.Task.Type() == "often" && !e.Prev.IsZero() {
				f.entry = e.ID
			}
		}
		return err == nil && f.entry != "" && len(entries) == 2
	})
	return f
}

func (f *full) add(state, kind string, n int, flags ...string) {
	f.t.Helper()
	id := fmt.Sprintf("%s%d-of-lunaq", state, n)
	f.lunaq(append([]string{"enqueue", kind, fmt.Sprintf("n:=%d", n), "--queue",
		fullQueue, "--task-id", id}, flags...)...)
	f.ids[state] = append(f.ids[state], id)
}

var states = []string{"pending", "active", "scheduled", "retry", "archived",
	"completed", "aggregating"}

func stateNamed(t *testing.T, name string) asynq.TaskState {
	for s := asynq.TaskStateActive; s <= asynq.TaskStateAggregating; s++ {
		if s.String() == name {
			return s
		}
	}
	t.Fatalf("Asynq knows no state %s", name)
	return 0
}

// counts is what lunaq says of every queue, and of all together: state, or
// counter → number.
func (w *world) counts() map[string]map[string]int {
	w.t.Helper()
	var stats struct {
		All    map[string]any
		Queues []map[string]any
	}
	if err := json.Unmarshal([]byte(w.lunaq("stats", "--json")),
		&stats); err != nil {
		w.t.Fatal(err)
	}
	numbers := func(row map[string]any) map[string]int {
		out := map[string]int{}
		for name, value := range row {
			if n, ok := value.(float64); ok {
				out[name] = int(n)
			}
		}
		if row["paused"] == true {
			out["paused"] = 1
		}
		return out
	}
	out := map[string]map[string]int{"": numbers(stats.All)}
	for _, row := range stats.Queues {
		out[row["queue"].(string)] = numbers(row)
	}
	return out
}

// checkTask wants what Asynq's inspector says of a task to be what was asked
// for, whatever lunaq says of it.
func (f *full) checkTask(state, id string) {
	f.t.Helper()
	info, err := f.inspector.GetTaskInfo(fullQueue, id)
	if err != nil {
		f.t.Errorf("%s: %v", id, err)
		return
	}
	wrong := func(what string, got any) {
		f.t.Helper()
		f.t.Errorf("%s task %s: %s is %v", state, id, what, got)
	}
	// in wants an instant to be so long after the enqueue.
	in := func(what string, at time.Time, later time.Duration) {
		f.t.Helper()
		if at.Before(f.began.Add(later-time.Second)) ||
			at.After(time.Now().Add(later+time.Second)) {
			wrong(what, at)
		}
	}
	n, _, _ := strings.Cut(strings.TrimPrefix(id, state), "-")
	if info.State.String() != state || string(info.Payload) != `{"n":`+n+`}` {
		wrong("what is stored", fmt.Sprintf("%+v", info))
	}
	switch state {
	case "scheduled":
		in("next", info.NextProcessAt, 2*time.Hour)
		if info.MaxRetry != 4 || info.Timeout != 90*time.Second ||
			!info.Deadline.Equal(f.deadline) || len(info.Headers) != 2 ||
			info.Headers["trace"] != "a b" || info.Headers["von"] != "Größe" {
			wrong("an option", fmt.Sprintf("%+v", info))
		}
	case "retry":
		in("next", info.NextProcessAt, time.Hour)
		in("the failure", info.LastFailedAt, 0)
		if info.Retried != 1 || info.MaxRetry != 25 ||
			!strings.Contains(info.LastErr, "not today, säge ✓") {
			wrong("the failure", fmt.Sprintf("%+v", info))
		}
	case "archived":
		in("the failure", info.LastFailedAt, 0)
		if info.LastErr != "never again" {
			wrong("the failure", info.LastErr)
		}
	case "completed":
		in("the end", info.CompletedAt, 0)
		if info.Retention != time.Hour || string(info.Result) != `{"got":`+n+`}` {
			wrong("the end", fmt.Sprintf("%+v", info))
		}
	}
}

// The fixture itself: what it says of each state is what is there, and Asynq
// reads of it what was asked for.
func (f *full) check() {
	f.t.Helper()
	for state, ids := range f.ids {
		for _, id := range ids {
			f.checkTask(state, id)
		}
	}
	ended := len(f.ids["completed"]) + len(f.ids["retry"]) + len(f.ids["archived"])
	failed := len(f.ids["retry"]) + len(f.ids["archived"])
	if info, err := f.inspector.GetQueueInfo(fullQueue); err != nil ||
		info.ProcessedTotal != ended || info.FailedTotal != failed ||
		!info.Paused || info.Groups != len(f.groups) {
		f.t.Errorf("%d ended, %d of them failed; Asynq says %+v, %v", ended,
			failed, info, err)
	}
	counts := f.counts()[fullQueue]
	for _, state := range states {
		if counts[state] != len(f.ids[state]) {
			f.t.Errorf("%s: lunaq counts %d of %d", state, counts[state],
				len(f.ids[state]))
		}
		got := f.taskIDs(fullQueue, state)
		want := append([]string{}, f.ids[state]...)
		sort.Strings(want)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			f.t.Errorf("%s: lunaq lists %v, wanted %v", state, got, want)
		}
	}
}
