package interop

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hibiken/asynq"
)

// What would break Asynq's readers must not stay, or come from lunaq.
func TestOddTasksStayReadable(t *testing.T) {
	ctx := context.Background()
	w := newWorld(t)
	folder := filepath.Join(w.dir, "handlers")
	w.ok(os.Mkdir(folder, 0o755))
	for name, text := range map[string]string{
		"bytes": `return function() error("\xff\xfe not text", 0) end`,
		"long":  `return function() error(("é"):rep(10000) .. "x", 0) end`,
		"short": `return function() error("x" .. ("é"):rep(10000), 0) end`,
		"ok":    `return function() return "\xff" end`,
	} {
		w.ok(os.WriteFile(filepath.Join(folder, name+".lua"), []byte(text), 0o644))
	}
	key := "asynq:{q}:"
	w.ok(w.redis.SAdd(ctx, "asynq:queues", "q").Err())
	w.ok(w.redis.HSet(ctx, key+"t:garbage", "msg", "\xff\xffno message",
		"state", "pending").Err())
	w.ok(w.redis.LPush(ctx, key+"pending", "garbage", "dangling").Err())
	w.start("lunaqd", w.env("LUNAQ_QUEUES=q=1"), os.Getenv("LUNAQD"),
		"--handlers", folder)

	info := w.settled("q", "garbage", asynq.TaskStateArchived)
	if info.Type != "lunaq:undecodable" || info.Queue != "q" ||
		string(info.Payload) != "\xff\xffno message" || info.LastErr == "" {
		t.Errorf("kept as %+v", info)
	}
	for _, name := range []string{"bytes", "long", "short"} {
		info := w.enqueue(asynq.NewTask(name, nil), asynq.Queue("q"))
		info = w.settled("q", info.ID, asynq.TaskStateRetry)
		if !utf8.ValidString(info.LastErr) || info.LastErr == "" {
			t.Errorf("%s: error %q", name, info.LastErr)
		}
	}
	info = w.enqueue(asynq.NewTask("ok", nil), asynq.Queue("q"),
		asynq.Retention(time.Hour))
	info = w.settled("q", info.ID, asynq.TaskStateCompleted)
	if string(info.Result) != "\xff" {
		t.Errorf("result %q", info.Result)
	}
	w.numbers("q", snapshot{})
	if all, err := w.inspector.ListRetryTasks("q"); err != nil || len(all) != 3 {
		t.Errorf("retry %v, %v", all, err)
	}
	if all, err := w.inspector.ListArchivedTasks("q"); err != nil ||
		len(all) != 1 {
		t.Errorf("archived %v, %v", all, err)
	}
	if n := w.redis.Exists(ctx, key+"t:dangling", key+"active",
		key+"lease").Val(); n != 0 {
		t.Errorf("%d keys of what never was a task are left", n)
	}
	// What lunaqd archived, Asynq's inspector runs again.
	w.ok(w.inspector.RunTask("q", "garbage"))
	w.until("it is archived again", func() bool {
		info, err := w.inspector.GetTaskInfo("q", "garbage")
		return err == nil && info.State == asynq.TaskStateRetry ||
			err == nil && info.State == asynq.TaskStateArchived
	})
}

// Cancelled by lunaq, a task is archived by whoever has it, and stays readable.
func TestLunaqCancelsBeforeAsynqsEyes(t *testing.T) {
	w := newWorld(t)
	w.startLunaqd("q=1", "WORKER_CONCURRENCY=1")
	running := w.enqueue(asynq.NewTask("interop:wait", nil), asynq.Queue("q"),
		asynq.TaskID("running-task"))
	w.settled("q", running.ID, asynq.TaskStateActive)
	for id, opt := range map[string]asynq.Option{
		"pending-task":     asynq.Timeout(time.Minute),
		"scheduled-task":   asynq.ProcessIn(time.Hour),
		"aggregating-task": asynq.Group("g"),
	} {
		w.enqueue(asynq.NewTask("interop:ok", nil), asynq.Queue("q"),
			asynq.TaskID(id), opt)
	}
	for _, id := range []string{"pending-task", "scheduled-task",
		"aggregating-task", "running-task"} {
		w.lunaq("task", "cancel", id, "--reason", "not wanted \xff any more")
		info := w.settled("q", id, asynq.TaskStateArchived)
		// Only an attempt that ran has failed with it.
		if !strings.HasPrefix(info.LastErr, "not wanted ") ||
			info.LastFailedAt.IsZero() != (id != "running-task") {
			t.Errorf("%s: error %q at %v", id, info.LastErr, info.LastFailedAt)
		}
	}
	s := snapshot{}
	w.numbers("q", s)
	if !strings.Contains(s["info"].text, "Archived:4") ||
		!strings.Contains(s["info"].text, "Groups:0") {
		t.Errorf("%v", s)
	}
}
