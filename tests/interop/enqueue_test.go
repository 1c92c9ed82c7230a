package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// What handlers/interop/echo.lua returns.
type echo struct {
	ID       string
	Type     string
	Queue    string
	Raw      string
	Headers  map[string]string
	Attempt  int
	MaxRetry int `json:"max_retry"`
	Deadline float64
}

func echoOf(t *testing.T, info *asynq.TaskInfo) echo {
	t.Helper()
	var e echo
	if err := json.Unmarshal(info.Result, &e); err != nil {
		t.Fatalf("result %q: %v", info.Result, err)
	}
	return e
}

func TestGoEnqueuesAndLunaqdRuns(t *testing.T) {
	w := newWorld(t)
	w.startLunaqd("critical=6,default=3,low=1")
	keep := asynq.Retention(time.Hour)
	payload := []byte(`{"n":7,"text":"säge ✓"}`)

	t.Run("plain", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:echo", payload), keep)
		got := w.settled("default", info.ID, asynq.TaskStateCompleted)
		e := echoOf(t, got)
		if e.ID != info.ID || e.Type != "interop:echo" || e.Queue != "default" ||
			e.Raw != string(payload) || e.Attempt != 1 {
			t.Errorf("the handler saw %+v", e)
		}
		if got.CompletedAt.IsZero() || time.Since(got.CompletedAt) > time.Minute {
			t.Errorf("completed at %v", got.CompletedAt)
		}
	})
	t.Run("without_retention", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:echo", payload))
		w.until("the task is gone", func() bool {
			_, err := w.inspector.GetTaskInfo("default", info.ID)
			return err != nil && strings.Contains(err.Error(), "not found")
		})
	})
	t.Run("other_queue", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:echo", payload), keep,
			asynq.Queue("low"), asynq.MaxRetry(4))
		e := echoOf(t, w.settled("low", info.ID, asynq.TaskStateCompleted))
		if e.Queue != "low" || e.MaxRetry != 4 {
			t.Errorf("the handler saw %+v", e)
		}
	})
	t.Run("delayed", func(t *testing.T) {
		due := time.Now().Add(2 * time.Second)
		info := w.enqueue(asynq.NewTask("interop:echo", payload), keep,
			asynq.ProcessAt(due))
		if info.State != asynq.TaskStateScheduled {
			t.Errorf("state %v after the enqueue", info.State)
		}
		w.settled("default", info.ID, asynq.TaskStateCompleted)
		// Asynq rounds the instant down to a whole second.
		if early := due.Truncate(time.Second).Sub(time.Now()); early > 0 {
			t.Errorf("it ran %v too early", early)
		}
		// Asynq would look every 5 s.
		if late := time.Since(due); late > 4*time.Second {
			t.Errorf("it ran %v late", late)
		}
	})
	t.Run("deadline", func(t *testing.T) {
		deadline := time.Now().Add(time.Minute).Truncate(time.Second)
		info := w.enqueue(asynq.NewTask("interop:echo", payload), keep,
			asynq.Deadline(deadline))
		e := echoOf(t, w.settled("default", info.ID, asynq.TaskStateCompleted))
		if d := e.Deadline - float64(deadline.Unix()); d > 1 || d < -1 {
			t.Errorf("deadline %v, wanted %v", e.Deadline, deadline.Unix())
		}
	})
	t.Run("deadline_is_over", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:echo", payload), keep,
			asynq.Deadline(time.Now().Add(-time.Minute)), asynq.MaxRetry(0))
		got := w.settled("default", info.ID, asynq.TaskStateArchived)
		if got.LastErr == "" {
			t.Error("archived without a reason")
		}
	})
	t.Run("timeout", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:wait", nil),
			asynq.Timeout(time.Second), asynq.MaxRetry(0))
		w.settled("default", info.ID, asynq.TaskStateArchived)
	})
	t.Run("headers", func(t *testing.T) {
		headers := map[string]string{"traceparent": "00-1-2-01", "von": "Größe"}
		info := w.enqueue(asynq.NewTaskWithHeaders("interop:echo", payload,
			headers), keep)
		e := echoOf(t, w.settled("default", info.ID, asynq.TaskStateCompleted))
		if !reflect.DeepEqual(e.Headers, headers) {
			t.Errorf("headers %v, wanted %v", e.Headers, headers)
		}
	})
	t.Run("unique", func(t *testing.T) {
		task := asynq.NewTask("interop:echo", []byte(`{"unique":1}`))
		info := w.enqueue(task, asynq.Unique(time.Hour))
		w.until("the lock is free again", func() bool {
			again, err := w.client.Enqueue(task, asynq.Unique(time.Hour))
			return err == nil && again.ID != info.ID
		})
	})
	t.Run("binary_payload", func(t *testing.T) {
		info := w.enqueue(asynq.NewTask("interop:refuse", []byte{0, 255, 10}))
		got := w.settled("default", info.ID, asynq.TaskStateArchived)
		if !strings.Contains(got.LastErr, "never again") {
			t.Errorf("error %q", got.LastErr)
		}
		if string(got.Payload) != "\x00\xff\n" {
			t.Errorf("payload %q", got.Payload)
		}
	})
}

func TestLunaqEnqueuesAndGoRuns(t *testing.T) {
	w := newWorld(t)
	type run struct {
		payload, id, queue string
		headers            map[string]string
		retry              int
		deadline           time.Time
	}
	runs := make(chan run, 16)
	w.startAsynq("go", func(ctx context.Context, task *asynq.Task) error {
		r := run{payload: string(task.Payload()), headers: task.Headers()}
		r.id, _ = asynq.GetTaskID(ctx)
		r.queue, _ = asynq.GetQueueName(ctx)
		r.retry, _ = asynq.GetMaxRetry(ctx)
		r.deadline, _ = ctx.Deadline()
		if _, err := task.ResultWriter().Write([]byte("from Go")); err != nil {
			return err
		}
		runs <- r
		return nil
	})
	one := func(t *testing.T, args ...string) run {
		t.Helper()
		w.lunaq(append([]string{"enqueue", "go:run", "--queue", "go"}, args...)...)
		select {
		case r := <-runs:
			return r
		case <-time.After(20 * time.Second):
			t.Fatal("Go's server did not run it")
			return run{}
		}
	}
	t.Run("plain", func(t *testing.T) {
		r := one(t, "name=Bob", "n:=7")
		var payload map[string]any
		if err := json.Unmarshal([]byte(r.payload), &payload); err != nil ||
			payload["name"] != "Bob" || payload["n"] != 7.0 {
			t.Errorf("payload %q", r.payload)
		}
		if r.queue != "go" || r.retry != 25 || r.id == "" {
			t.Errorf("it saw %+v", r)
		}
	})
	t.Run("options", func(t *testing.T) {
		r := one(t, "--max-retry", "2", "--timeout", "90s", "--task-id",
			"chosen-id")
		if r.retry != 2 || r.id != "chosen-id" {
			t.Errorf("it saw %+v", r)
		}
		if left := time.Until(r.deadline); left < 80*time.Second ||
			left > 91*time.Second {
			t.Errorf("%v until the deadline, wanted 90 s", left)
		}
	})
	t.Run("headers", func(t *testing.T) {
		r := one(t, "--header", "traceparent=00-1-2-01")
		if r.headers["traceparent"] != "00-1-2-01" {
			t.Errorf("headers %v", r.headers)
		}
	})
	t.Run("delayed_and_kept", func(t *testing.T) {
		begun := time.Now()
		r := one(t, "--process-in", "1s", "--retention", "1h")
		if early := time.Second - time.Since(begun); early > 0 {
			t.Errorf("it ran %v too early", early)
		}
		info := w.settled("go", r.id, asynq.TaskStateCompleted)
		if string(info.Result) != "from Go" || info.Retention != time.Hour {
			t.Errorf("info %+v", info)
		}
	})
}

// Both kinds of worker on one queue: every task runs once, whoever takes it,
// and the counters say so.
func TestOneQueueTwoKindsOfWorkers(t *testing.T) {
	const total = 1000
	w := newWorld(t)
	var mu sync.Mutex
	inGo := map[string]int{}
	for i := 0; i < total; i++ {
		w.enqueue(asynq.NewTask("interop:nap", []byte(fmt.Sprintf(`{"i":%d}`, i))),
			asynq.Queue("shared"))
	}
	w.startAsynq("shared", func(ctx context.Context, task *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		mu.Lock()
		inGo[id]++
		mu.Unlock()
		time.Sleep(10 * time.Millisecond)
		return nil
	})
	w.startLunaqd("shared=1", "WORKER_CONCURRENCY=4")
	info := func() *asynq.QueueInfo {
		info, err := w.inspector.GetQueueInfo("shared")
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	w.until("all are done", func() bool { return info().Size == 0 })
	if got := info(); got.ProcessedTotal != total || got.FailedTotal != 0 {
		t.Errorf("processed %d, failed %d; wanted %d and 0", got.ProcessedTotal,
			got.FailedTotal, total)
	}
	for id, n := range inGo {
		if n != 1 {
			t.Errorf("Go ran %s %d times", id, n)
		}
	}
	if len(inGo) == 0 || len(inGo) == total {
		t.Errorf("%d ran in Go, %d in lunaqd", len(inGo), total-len(inGo))
	}
}
