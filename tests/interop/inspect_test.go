package interop

import (
	"context"
	"fmt"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// Tasks of both clients in every state a task can be in, seen by Asynq's
// inspector and by lunaq's, which must agree.
func TestBothInspectorsShowEveryState(t *testing.T) {
	w := newWorld(t)
	w.startLunaqd("mixed=1")
	queue := asynq.Queue("mixed")

	for _, kind := range []struct {
		task  string
		state asynq.TaskState
		opts  []asynq.Option
		flags []string
	}{
		{"interop:wait", asynq.TaskStateActive, nil, nil},
		{"interop:fail", asynq.TaskStateRetry, nil, nil},
		{"interop:refuse", asynq.TaskStateArchived, nil, nil},
		{"interop:echo", asynq.TaskStateCompleted,
			[]asynq.Option{asynq.Retention(time.Hour)},
			[]string{"--retention", "1h"}},
		{"interop:echo", asynq.TaskStateScheduled,
			[]asynq.Option{asynq.ProcessIn(time.Hour)},
			[]string{"--process-in", "1h"}},
	} {
		info := w.enqueue(asynq.NewTask(kind.task, []byte(`{}`)),
			append(kind.opts, queue)...)
		w.settled("mixed", info.ID, kind.state)
		id := fmt.Sprintf("lunaq-%v", kind.state)
		w.lunaq(append([]string{"enqueue", kind.task, "--queue", "mixed",
			"--task-id", id}, kind.flags...)...)
		got := w.settled("mixed", id, kind.state)
		if got.Type != kind.task {
			t.Errorf("%s has type %q", id, got.Type)
		}
	}
	w.enqueue(asynq.NewTask("interop:echo", []byte(`{}`)), queue,
		asynq.Group("letters"))
	w.lunaq("enqueue", "interop:echo", "--queue", "mixed", "--group", "letters")
	if err := w.inspector.PauseQueue("mixed"); err != nil {
		t.Fatal(err)
	}
	// What takes a task looks at the pause in the same script.
	w.enqueue(asynq.NewTask("interop:echo", nil), queue)
	w.lunaq("enqueue", "interop:echo", "--queue", "mixed")

	theirs := map[string][]string{}
	list := func(state string, infos []*asynq.TaskInfo, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("Asynq cannot list %s: %v", state, err)
		}
		for _, info := range infos {
			theirs[state] = append(theirs[state], info.ID)
		}
	}
	in := w.inspector
	infos, err := in.ListPendingTasks("mixed")
	list("pending", infos, err)
	infos, err = in.ListActiveTasks("mixed")
	list("active", infos, err)
	infos, err = in.ListScheduledTasks("mixed")
	list("scheduled", infos, err)
	infos, err = in.ListRetryTasks("mixed")
	list("retry", infos, err)
	infos, err = in.ListArchivedTasks("mixed")
	list("archived", infos, err)
	infos, err = in.ListCompletedTasks("mixed")
	list("completed", infos, err)
	infos, err = in.ListAggregatingTasks("mixed", "letters")
	list("aggregating", infos, err)

	queueInfo, err := in.GetQueueInfo("mixed")
	if err != nil {
		t.Fatalf("Asynq's queue info: %v", err)
	}
	ours := w.queueRow("mixed")
	for state, count := range map[string]int{
		"pending": queueInfo.Pending, "active": queueInfo.Active,
		"scheduled": queueInfo.Scheduled, "retry": queueInfo.Retry,
		"archived": queueInfo.Archived, "completed": queueInfo.Completed,
		"aggregating": queueInfo.Aggregating,
	} {
		t.Run(state, func(t *testing.T) {
			if count != 2 || len(theirs[state]) != 2 {
				t.Errorf("Asynq counts %d and lists %v, wanted 2", count,
					theirs[state])
			}
			if got := ours[state]; got != float64(count) {
				t.Errorf("lunaq counts %v, Asynq %d", got, count)
			}
			got := w.taskIDs("mixed", state)
			sort.Strings(theirs[state])
			if strings.Join(got, " ") != strings.Join(theirs[state], " ") {
				t.Errorf("lunaq lists %v, Asynq %v", got, theirs[state])
			}
		})
	}
	t.Run("counters", func(t *testing.T) {
		if queueInfo.Processed != 6 || queueInfo.Failed != 4 {
			t.Errorf("Asynq: processed %d, failed %d", queueInfo.Processed,
				queueInfo.Failed)
		}
		if ours["processed_today"] != float64(queueInfo.Processed) ||
			ours["failed_today"] != float64(queueInfo.Failed) {
			t.Errorf("lunaq says %v, Asynq %d and %d", ours,
				queueInfo.Processed, queueInfo.Failed)
		}
	})
}

// rows of a listing.
func (w *world) rows(args ...string) []map[string]any {
	w.t.Helper()
	list, ok := w.lunaqJSON(args...).([]any)
	if !ok {
		w.t.Fatalf("lunaq %v --json is not a list", args)
	}
	var out []map[string]any
	for _, row := range list {
		out = append(out, row.(map[string]any))
	}
	return out
}

func (w *world) queueRow(name string) map[string]any {
	w.t.Helper()
	all := w.rows("queue", "ls")
	for _, row := range all {
		if row["queue"] == name {
			return row
		}
	}
	w.t.Fatalf("lunaq queue ls has no %s: %v", name, all)
	return nil
}

func (w *world) taskIDs(queue, state string) []string {
	w.t.Helper()
	var ids []string
	for _, row := range w.rows("task", "ls", "--queue", queue, "--state", state) {
		if id, ok := row["id"].(string); ok {
			ids = append(ids, id)
		}
	}
	sort.Strings(ids)
	return ids
}

func TestServersAndSchedulesAreListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startLunaqd("a=5,b=2", "WORKER_CONCURRENCY=7", "LUNAQ_STRICT=true")
	info := w.enqueue(asynq.NewTask("interop:wait", []byte(`{"w":1}`)),
		asynq.Queue("a"))
	w.settled("a", info.ID, asynq.TaskStateActive)

	t.Run("lunaqd_in_Asynqs_list", func(t *testing.T) {
		w.until("the worker shows", func() bool {
			servers, err := w.inspector.Servers()
			return err == nil && len(servers) == 1 &&
				len(servers[0].ActiveWorkers) == 1
		})
		servers, _ := w.inspector.Servers()
		s := servers[0]
		if s.Concurrency != 7 || s.Queues["a"] != 5 || s.Queues["b"] != 2 ||
			s.Status != "active" || s.PID == 0 || s.Host == "" ||
			!s.StrictPriority || time.Since(s.Started) > time.Minute {
			t.Errorf("server %+v", s)
		}
		worker := s.ActiveWorkers[0]
		if worker.TaskID != info.ID || worker.TaskType != "interop:wait" ||
			worker.Queue != "a" || time.Until(worker.Deadline) < time.Minute {
			t.Errorf("worker %+v", worker)
		}
	})
	t.Run("schedule_in_Asynqs_list", func(t *testing.T) {
		var entries []*asynq.SchedulerEntry
		w.until("the entry shows", func() bool {
			var err error
			entries, err = w.inspector.SchedulerEntries()
			return err == nil && len(entries) > 0
		})
		e := entries[0]
		if e.Spec != "@every 1h" || e.Task.Type() != "interop:tick" ||
			string(e.Task.Payload()) != `{"n":1}` ||
			time.Until(e.Next) > 61*time.Minute {
			t.Errorf("entry %+v", e)
		}
	})
	// As if their end had come: lunaqd shows them again, if not at once.
	ctx := context.Background()
	lists, err := w.redis.ZRange(ctx, "asynq:schedulers", 0, -1).Result()
	w.ok(err)
	w.ok(w.redis.Del(ctx, append(lists, "asynq:schedulers")...).Err())
	t.Run("lunaq_lists_them_as_Asynq", func(t *testing.T) {
		w.startAsynq("go", likeLua)
		w.enqueue(asynq.NewTask("interop:wait", nil), asynq.Queue("go"))
		var servers []*asynq.ServerInfo
		w.until("both servers show what they run", func() bool {
			var err error
			servers, err = w.inspector.Servers()
			return err == nil && len(servers) == 2 &&
				len(servers[0].ActiveWorkers) == 1 &&
				len(servers[1].ActiveWorkers) == 1
		})
		rows := map[any]map[string]any{}
		for _, row := range w.rows("server", "ls") {
			rows[row["id"]] = row
		}
		for _, s := range servers {
			queues := map[string]any{}
			for name, weight := range s.Queues {
				queues[name] = float64(weight)
			}
			worker := s.ActiveWorkers[0]
			want := map[string]any{"id": s.ID, "host": s.Host,
				"pid": float64(s.PID), "status": s.Status,
				"concurrency": float64(s.Concurrency),
				"strict":      s.StrictPriority, "queues": queues,
				"started_at":     float64(s.Started.UnixMilli()),
				"lunaq":          s.Queues["go"] == 0,
				"remote_control": s.Queues["go"] == 0,
				"workers": []any{map[string]any{"task_id": worker.TaskID,
					"type": worker.TaskType, "queue": worker.Queue,
					"payload":     string(worker.TaskPayload),
					"started_at":  float64(worker.Started.UnixMilli()),
					"deadline_at": float64(worker.Deadline.UnixMilli())}}}
			if !reflect.DeepEqual(rows[s.ID], want) {
				t.Errorf("lunaq lists %v, Asynq %v", rows[s.ID], want)
			}
		}
		if len(rows) != 2 {
			t.Errorf("lunaq lists %v", rows)
		}
	})
	t.Run("schedule_stays_in_Asynqs_list", func(t *testing.T) {
		w.until("the entry shows again", func() bool {
			entries, err := w.inspector.SchedulerEntries()
			return err == nil && len(entries) > 0
		})
	})
}

func TestAsynqsInspectorSteersLunaqd(t *testing.T) {
	w := newWorld(t)
	w.startLunaqd("default=1")
	t.Run("cancel_ends_a_run", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:wait", nil), asynq.MaxRetry(3))
		w.settled("default", info.ID, asynq.TaskStateActive)
		if err := w.inspector.CancelProcessing(info.ID); err != nil {
			t.Fatal(err)
		}
		w.settled("default", info.ID, asynq.TaskStateRetry)
	})
	t.Run("run_wakes_a_scheduled_task", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:echo", nil),
			asynq.ProcessIn(time.Hour), asynq.Retention(time.Hour))
		if err := w.inspector.RunTask("default", info.ID); err != nil {
			t.Fatal(err)
		}
		w.settled("default", info.ID, asynq.TaskStateCompleted)
	})
	t.Run("unpause_lets_it_go_on", func(t *testing.T) {
		if err := w.inspector.PauseQueue("default"); err != nil {
			t.Fatal(err)
		}
		info := w.enqueue(asynq.NewTask("interop:echo", nil),
			asynq.Retention(time.Hour))
		if err := w.inspector.UnpauseQueue("default"); err != nil {
			t.Fatal(err)
		}
		w.settled("default", info.ID, asynq.TaskStateCompleted)
	})
}
