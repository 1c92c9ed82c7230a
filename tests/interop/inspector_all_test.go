package interop

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// alike compares all that Asynq's inspector and lunaq say of one task.
func (f *full) alike(id string) {
	f.t.Helper()
	info, err := f.inspector.GetTaskInfo(fullQueue, id)
	if err != nil {
		f.t.Errorf("%s: %v", id, err)
		return
	}
	ours, _ := f.lunaqJSON("task", "show", id).(map[string]any)
	instant := func(t time.Time) any {
		if t.IsZero() || t.Unix() == 0 {
			return 0.0
		}
		return float64(t.UnixMilli())
	}
	headers := map[string]any{}
	for k, v := range info.Headers {
		headers[k] = v
	}
	next := info.NextProcessAt
	if info.State == asynq.TaskStatePending {
		next = time.Time{} // Asynq says: now
	}
	if info.State == asynq.TaskStateCompleted {
		ours["next_at"] = 0.0 // lunaq says when it will be deleted
	}
	for name, theirs := range map[string]any{
		"id": info.ID, "queue": info.Queue, "type": info.Type,
		"payload": string(info.Payload), "headers": headers,
		"state": info.State.String(), "max_retry": float64(info.MaxRetry),
		"retried": float64(info.Retried), "error": info.LastErr,
		"last_failed_at": instant(info.LastFailedAt),
		"timeout_ms":     float64(info.Timeout.Milliseconds()),
		"deadline_at":    instant(info.Deadline), "group": info.Group,
		"next_at":      instant(next),
		"retention_ms": float64(info.Retention.Milliseconds()),
		"completed_at": instant(info.CompletedAt), "result": string(info.Result),
	} {
		if !reflect.DeepEqual(ours[name], theirs) {
			f.t.Errorf("%s: %s: lunaq %#v, Asynq %#v", id, name, ours[name],
				theirs)
		}
	}
}

// Every method of Asynq's inspector, none forgotten, on tasks of lunaq's; after
// each the numbers of both agree, and in the end all is well.
func TestEveryMethodOfAsynqsInspector(t *testing.T) {
	t.Parallel()
	f := newFullWorld(t)
	f.check()
	in := f.inspector
	for _, ids := range f.ids {
		for _, id := range ids {
			f.alike(id)
		}
	}
	done := map[string]bool{}
	var name string
	no := func(err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	step := func(method string, do func()) {
		t.Helper()
		name, done[method] = method, true
		do()
		info, err := in.GetQueueInfo(fullQueue)
		no(err)
		ours := f.counts()[fullQueue]
		for state, count := range map[string]int{"pending": info.Pending,
			"active": info.Active, "scheduled": info.Scheduled,
			"retry": info.Retry, "archived": info.Archived,
			"completed": info.Completed, "aggregating": info.Aggregating,
			"groups": info.Groups, "processed_today": info.Processed,
			"failed_today":    info.Failed,
			"processed_total": info.ProcessedTotal,
			"failed_total":    info.FailedTotal} {
			if ours[state] != count {
				t.Errorf("after %s: %s: lunaq %d, Asynq %d", method, state,
					ours[state], count)
			}
		}
		// Both count from samples, of which lunaq takes more.
		if memory := float64(ours["memory_bytes"]); memory == 0 ||
			memory > 2*float64(info.MemoryUsage) ||
			2*memory < float64(info.MemoryUsage) {
			t.Errorf("after %s: lunaq says %v bytes, Asynq %d", method, memory,
				info.MemoryUsage)
		}
		if info.Paused != (ours["paused"] == 1) {
			t.Errorf("after %s: paused: Asynq says %v", method, info.Paused)
		}
	}
	take := func(state string) string {
		one := f.ids[state][0]
		f.ids[state] = f.ids[state][1:]
		return one
	}
	is := func(id, state string) {
		t.Helper()
		info, err := in.GetTaskInfo(fullQueue, id)
		no(err)
		if err == nil && info.State.String() != state {
			t.Errorf("%s: %s is %v, wanted %s", name, id, info.State, state)
		}
	}
	list := func(state string, one func(...asynq.ListOption) ([]*asynq.TaskInfo,
		error), want []string) {
		t.Helper()
		seen := map[string]bool{}
		for page := 1; page <= len(want)/2+1; page++ {
			infos, err := one(asynq.PageSize(2), asynq.Page(page))
			no(err)
			for _, info := range infos {
				seen[info.ID] = true
			}
		}
		for _, id := range want {
			if !seen[id] {
				t.Errorf("%s lacks %s", name, id)
			}
		}
		if len(seen) != len(want) {
			t.Errorf("%s: %v, wanted %v", name, seen, want)
		}
	}
	of := func(call func(string, ...asynq.ListOption) ([]*asynq.TaskInfo,
		error)) func(...asynq.ListOption) ([]*asynq.TaskInfo, error) {
		return func(o ...asynq.ListOption) ([]*asynq.TaskInfo, error) {
			return call(fullQueue, o...)
		}
	}

	step("Queues", func() {
		queues, err := in.Queues()
		no(err)
		if len(queues) != 3 {
			t.Errorf("queues %v", queues)
		}
	})
	step("Groups", func() {
		groups, err := in.Groups(fullQueue)
		no(err)
		got := map[string]int{}
		for _, g := range groups {
			got[g.Group] = g.Size
		}
		if len(got) != 2 || got["letters"] != 3 || got["bills"] != 2 {
			t.Errorf("groups %v", got)
		}
	})
	step("GetQueueInfo", func() {})
	step("GetTaskInfo", func() {
		_, err := in.GetTaskInfo(fullQueue, "nobody")
		if !errors.Is(err, asynq.ErrTaskNotFound) {
			t.Errorf("a task that is not: %v", err)
		}
		_, err = in.GetTaskInfo("nowhere", "nobody")
		if !errors.Is(err, asynq.ErrQueueNotFound) {
			t.Errorf("a queue that is not: %v", err)
		}
	})
	step("History", func() {
		days, err := in.History(fullQueue, 3)
		no(err)
		rows := f.rows("queue", "history", fullQueue, "--days", "3")
		if len(rows) != 3 || len(days) != 3 {
			t.Fatalf("of 3 days: lunaq %v, Asynq %v", rows, days)
		}
		for i, row := range rows {
			if row["day"] != days[i].Date.Format("2006-01-02") ||
				row["processed"] != float64(days[i].Processed) ||
				row["failed"] != float64(days[i].Failed) {
				t.Errorf("day %d: lunaq %v, Asynq %+v", i, row, days[i])
			}
		}
	})
	step("ListPendingTasks", func() {
		list("pending", of(in.ListPendingTasks), f.ids["pending"])
	})
	step("ListActiveTasks", func() {
		list("active", of(in.ListActiveTasks), f.ids["active"])
	})
	step("ListScheduledTasks", func() {
		list("scheduled", of(in.ListScheduledTasks), f.ids["scheduled"])
	})
	step("ListRetryTasks", func() {
		list("retry", of(in.ListRetryTasks), f.ids["retry"])
	})
	step("ListArchivedTasks", func() {
		list("archived", of(in.ListArchivedTasks), f.ids["archived"])
	})
	step("ListCompletedTasks", func() {
		list("completed", of(in.ListCompletedTasks), f.ids["completed"])
	})
	step("ListAggregatingTasks", func() {
		for group, ids := range f.groups {
			list("aggregating", func(o ...asynq.ListOption) ([]*asynq.TaskInfo,
				error) {
				return in.ListAggregatingTasks(fullQueue, group, o...)
			}, ids)
		}
	})
	step("Servers", func() {
		f.until("the server shows what runs", func() bool {
			servers, err := in.Servers()
			no(err)
			return len(servers) == 1 &&
				len(servers[0].ActiveWorkers) == len(f.ids["active"])
		})
	})
	step("SchedulerEntries", func() {
		entries, err := in.SchedulerEntries()
		no(err)
		if len(entries) != 2 {
			t.Errorf("entries %v", entries)
		}
	})
	step("ListSchedulerEnqueueEvents", func() {
		events, err := in.ListSchedulerEnqueueEvents(f.entry, asynq.PageSize(1))
		no(err)
		if len(events) != 1 ||
			events[0].TaskID != f.taskIDs("ticks", "pending")[0] {
			t.Errorf("events %v", events)
		}
	})
	for method, err := range map[string]error{
		"ClusterKeySlot": func() error { _, err := in.ClusterKeySlot("q"); return err }(),
		"ClusterNodes":   func() error { _, err := in.ClusterNodes("q"); return err }(),
	} {
		step(method, func() { // this Redis is no cluster
			if err == nil || !strings.Contains(err.Error(), "cluster") {
				t.Errorf("%s: %v", method, err)
			}
		})
	}

	step("UpdateTaskPayload", func() {
		id := take("scheduled")
		no(in.UpdateTaskPayload(fullQueue, id, []byte(`{"n":"säge"}`)))
		f.alike(id)
		if row, _ := f.lunaqJSON("task", "show", id).(map[string]any); row["payload"] != `{"n":"säge"}` {
			t.Errorf("lunaq shows %v", row["payload"])
		}
	})
	step("RunTask", func() {
		for _, state := range []string{"scheduled", "retry", "archived",
			"completed", "aggregating"} {
			id := take(state)
			no(in.RunTask(fullQueue, id))
			is(id, "pending")
		}
		if in.RunTask(fullQueue, f.ids["active"][0]) == nil {
			t.Error("a running task was run")
		}
	})
	step("ArchiveTask", func() {
		for _, state := range []string{"pending", "scheduled", "retry",
			"completed", "aggregating"} {
			id := take(state)
			no(in.ArchiveTask(fullQueue, id))
			is(id, "archived")
		}
	})
	step("DeleteTask", func() {
		for _, state := range []string{"pending", "scheduled", "archived",
			"completed"} {
			id := take(state)
			no(in.DeleteTask(fullQueue, id))
			if _, err := in.GetTaskInfo(fullQueue, id); !errors.Is(err,
				asynq.ErrTaskNotFound) {
				t.Errorf("%s is not gone: %v", id, err)
			}
		}
	})
	step("CancelProcessing", func() {
		id := take("active")
		no(in.CancelProcessing(id))
		f.settled(fullQueue, id, asynq.TaskStateRetry)
	})

	fresh := 20
	refill := func(state string) {
		for i := fresh; i < fresh+2; i++ {
			switch state {
			case "aggregating":
				f.add(state, "ok", i, "--group", "bills")
			case "scheduled":
				f.add(state, "ok", i, "--process-in", "1h")
			default:
				f.add(state, "ok", i)
			}
		}
		fresh += 2
	}
	type all = func(string) (int, error)
	// moved calls a method that moves all of a state, and counts what it moved.
	moved := func(call all, from, to string) {
		t.Helper()
		before := f.counts()[fullQueue]
		n, err := call(fullQueue)
		no(err)
		after := f.counts()[fullQueue]
		if n == 0 || before[from]-after[from] != n ||
			to != "" && after[to]-before[to] != n {
			t.Errorf("%s says it moved %d: %v became %v", name, n, before, after)
		}
		delete(f.ids, from)
	}
	group := func(call func(string, string) (int, error)) all {
		return func(queue string) (int, error) { return call(queue, "bills") }
	}
	for _, m := range []struct {
		name, from, to string
		fill           bool
		call           all
	}{
		{"RunAllScheduledTasks", "scheduled", "pending", true,
			in.RunAllScheduledTasks},
		{"ArchiveAllScheduledTasks", "scheduled", "archived", true,
			in.ArchiveAllScheduledTasks},
		{"DeleteAllScheduledTasks", "scheduled", "", true,
			in.DeleteAllScheduledTasks},
		{"RunAllRetryTasks", "retry", "pending", false, in.RunAllRetryTasks},
		{"RunAllAggregatingTasks", "aggregating", "pending", true,
			group(in.RunAllAggregatingTasks)},
		{"ArchiveAllAggregatingTasks", "aggregating", "archived", true,
			group(in.ArchiveAllAggregatingTasks)},
		{"DeleteAllAggregatingTasks", "aggregating", "", true,
			group(in.DeleteAllAggregatingTasks)},
		{"DeleteAllCompletedTasks", "completed", "", false,
			in.DeleteAllCompletedTasks},
		{"ArchiveAllPendingTasks", "pending", "archived", true,
			in.ArchiveAllPendingTasks},
		{"RunAllArchivedTasks", "archived", "pending", false,
			in.RunAllArchivedTasks},
		{"DeleteAllPendingTasks", "pending", "", true, in.DeleteAllPendingTasks},
	} {
		if m.fill {
			refill(m.from)
		}
		step(m.name, func() { moved(m.call, m.from, m.to) })
	}
	// Two more that fail, for what is left to do with them.
	step("UnpauseQueue", func() { no(in.UnpauseQueue(fullQueue)) })
	for i := 0; i < 2; i++ {
		f.add("again", "later", i)
		f.settled(fullQueue, f.ids["again"][i], asynq.TaskStateRetry)
	}
	step("ArchiveAllRetryTasks", func() {
		moved(in.ArchiveAllRetryTasks, "retry", "archived")
	})
	f.add("again", "later", 2)
	f.settled(fullQueue, f.ids["again"][2], asynq.TaskStateRetry)
	step("DeleteAllRetryTasks", func() {
		moved(in.DeleteAllRetryTasks, "retry", "")
	})
	step("DeleteAllArchivedTasks", func() {
		moved(in.DeleteAllArchivedTasks, "archived", "")
	})
	step("PauseQueue", func() { no(in.PauseQueue(fullQueue)) })
	step("DeleteQueue", func() {
		if err := in.DeleteQueue("side", false); !errors.Is(err,
			asynq.ErrQueueNotEmpty) {
			t.Errorf("a full queue: %v", err)
		}
		no(in.DeleteQueue("side", true))
		if _, there := f.counts()["side"]; there {
			t.Error("lunaq still lists a queue that is gone")
		}
	})
	t.Logf("lunaq fsck: %s", strings.TrimSpace(f.lunaq("fsck")))

	// Locks that Asynq's inspector leaves behind are found, and released.
	f.lunaq("enqueue", "ok", "--queue", fullQueue, "--unique", "1h")
	step("DeleteAllPendingTasks", func() {
		moved(in.DeleteAllPendingTasks, "pending", "")
	})
	if out := f.lunaqFails("fsck"); !strings.Contains(out, "[lock-dead]") ||
		!strings.Contains(out, " 1 fault") {
		t.Errorf("lunaq fsck of a lock left behind: %s", out)
	}
	f.lunaqFails("fsck", "--repair") // 1: there was a fault
	f.lunaq("fsck")
	name, done["Close"] = "Close", true
	no(asynq.NewInspector(f.opt).Close())

	methods := reflect.TypeOf(in)
	for i := 0; i < methods.NumMethod(); i++ {
		if !done[methods.Method(i).Name] {
			t.Errorf("the test forgets Inspector.%s", methods.Method(i).Name)
		}
	}
	t.Log(fmt.Sprintf("%d methods", methods.NumMethod()))
}
