package interop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// startHandlers serves the queue default, or what the environment says, with
// these handler files.
func (w *world) startHandlers(files map[string]string, env ...string) {
	w.t.Helper()
	folder := filepath.Join(w.dir, "handlers")
	for name, text := range files {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	if len(env) == 0 {
		env = []string{"LUNAQ_QUEUES=default=1"}
	}
	w.start("lunaqd", w.env(env...), os.Getenv("LUNAQD"), "--handlers", folder,
		"--shutdown-timeout", "1s")
	w.until("lunaqd is listed as a server", func() bool {
		servers, err := w.inspector.Servers()
		return err == nil && len(servers) > 0
	})
}

func (w *world) info(id string) *asynq.TaskInfo {
	w.t.Helper()
	info, err := w.inspector.GetTaskInfo("default", id)
	if err != nil {
		w.t.Fatal(err)
	}
	return info
}

// What a handler stores with task:result() is what Asynq's ResultWriter would
// have written: there while the task is active, replaced by a later attempt,
// kept as long as the task.
func TestResultOfALuaHandlerIsReadMidRun(t *testing.T) {
	w := newWorld(t)
	w.startHandlers(map[string]string{"slow.lua": `
		return { backoff = "1s", run = function(task)
		  task:result({ half = task.attempt })
		  if task.attempt == 1 then lunaq.sleep(3) error("again") end
		  return "whole"
		end }`})
	task := w.enqueue(asynq.NewTask("slow", []byte(`{}`)), asynq.Retention(time.Hour))
	w.until("the result is there", func() bool { return w.info(task.ID).Result != nil })
	if info := w.info(task.ID); info.State != asynq.TaskStateActive ||
		string(info.Result) != `{"half":1}` {
		t.Errorf("%v with result %q", info.State, info.Result)
	}
	info := w.settled("default", task.ID, asynq.TaskStateCompleted)
	if string(info.Result) != "whole" {
		t.Errorf("result %q", info.Result)
	}
}

// is_failure is Asynq's IsFailure, and a type without a handler fails as there.
func TestErrorsOfLuaHandlersCountAsAsynqsDo(t *testing.T) {
	w := newWorld(t)
	w.startHandlers(map[string]string{"busy.lua": `
		return { backoff = "1h", is_failure = function(err) return false end,
		  run = function() error({ kind = "busy", message = "not now" }) end }`})
	task := w.enqueue(asynq.NewTask("busy", []byte(`{}`)), asynq.MaxRetry(3))
	info := w.settled("default", task.ID, asynq.TaskStateRetry)
	if info.Retried != 0 || !strings.Contains(info.LastErr, "not now") ||
		info.LastFailedAt.IsZero() {
		t.Errorf("retried %d, %q, failed at %v", info.Retried, info.LastErr,
			info.LastFailedAt)
	}
	last := w.enqueue(asynq.NewTask("busy", []byte(`{}`)), asynq.MaxRetry(0))
	w.settled("default", last.ID, asynq.TaskStateArchived)
	nobody := w.enqueue(asynq.NewTask("no:body", []byte(`{}`)))
	info = w.settled("default", nobody.ID, asynq.TaskStateRetry)
	if info.LastErr != `handler not found for task "no:body"` || info.Retried != 1 {
		t.Errorf("retried %d, %q", info.Retried, info.LastErr)
	}
	queue, err := w.inspector.GetQueueInfo("default")
	if err != nil {
		t.Fatal(err)
	}
	// That which is no failure counts nowhere, the archived one and the one
	// without a handler do.
	if queue.Processed != 2 || queue.Failed != 2 {
		t.Errorf("processed %d, failed %d", queue.Processed, queue.Failed)
	}
}

// Locks and ids that a handler took are taken for Go's client, and the other
// way round; headers and options arrive.
func TestEnqueueOfALuaHandlerMeetsGosClient(t *testing.T) {
	w := newWorld(t)
	w.startHandlers(map[string]string{"make.lua": `
		return { retention = "1h", run = function()
		  local options = { queue = "other", max_retry = 4, timeout = "90s",
		    retention = "2h", unique = "1h", task_id = "mine",
		    headers = { trace = "abc" } }
		  queue.enqueue("thing", { b = 1, a = 2 }, options)
		  options.task_id = nil
		  local _, locked = queue.try_enqueue("thing", { a = 2, b = 1 }, options)
		  local _, taken = queue.try_enqueue("thing", {},
		    { queue = "other", task_id = "gos" })
		  local _, gos = queue.try_enqueue("lock", { c = 1 },
		    { queue = "other", unique = "1h" })
		  return table.concat({ locked.kind, taken.kind, gos.kind }, " ")
		end }`})
	other := asynq.Queue("other")
	w.enqueue(asynq.NewTask("thing", nil), other, asynq.TaskID("gos"))
	w.enqueue(asynq.NewTask("lock", []byte(`{"c":1}`)), other, asynq.Unique(time.Hour))
	made := w.enqueue(asynq.NewTask("make", nil), asynq.Retention(time.Hour))
	info := w.settled("default", made.ID, asynq.TaskStateCompleted)
	if string(info.Result) != "duplicate conflict duplicate" {
		t.Errorf("the handler got %q", info.Result)
	}
	info, err := w.inspector.GetTaskInfo("other", "mine")
	if err != nil {
		t.Fatal(err)
	}
	if string(info.Payload) != `{"a":2,"b":1}` || info.MaxRetry != 4 ||
		info.Timeout != 90*time.Second || info.Retention != 2*time.Hour ||
		info.Headers["trace"] != "abc" {
		t.Errorf("%+v", info)
	}
	ctx := context.Background()
	_, err = w.client.EnqueueContext(ctx, asynq.NewTask("thing", []byte(`{"a":2,"b":1}`)),
		other, asynq.Unique(time.Hour))
	if !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("a locked task: %v", err)
	}
	_, err = w.client.EnqueueContext(ctx, asynq.NewTask("thing", nil), other,
		asynq.TaskID("mine"))
	if !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("a known id: %v", err)
	}
}
