package interop

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// produceUnique enqueues by the library in C; its exit status: 3 is a
// duplicate.
func (w *world) produceUnique(queue string, payload []byte) int {
	w.t.Helper()
	args := []string{"redis-socket://" + w.opt.Addr, "unique", queue, "t"}
	if payload != nil {
		args = append(args, hex.EncodeToString(payload))
	}
	cmd := exec.Command(os.Getenv("INTEROP_PRODUCER"), args...)
	cmd.Env = w.env()
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState.ExitCode() != 3 {
		w.t.Fatalf("producer %v: %v\n%s", args, err, out)
	}
	return cmd.ProcessState.ExitCode()
}

// The lock of a task is the same whoever takes it, and each respects the
// other's.
func TestUniqueKeysAreEqual(t *testing.T) {
	t.Parallel()
	tool(t, "INTEROP_PRODUCER")
	w := newWorld(t)
	ctx := context.Background()
	for name, payload := range map[string][]byte{
		"nil": nil, "empty": {}, "json": []byte(`{"a":1,"b":[true,null]}`),
		"bytes": {0, 255, 10, 13, 0}, "umlauts": []byte(`{"größe":"✓"}`),
	} {
		t.Run(name, func(t *testing.T) {
			task := asynq.NewTask("t", payload)
			goFirst, cFirst := "go-"+name, "c-"+name
			_, err := w.client.Enqueue(task, asynq.Queue(goFirst),
				asynq.Unique(time.Hour))
			w.ok(err)
			if code := w.produceUnique(goFirst, payload); code != 3 {
				t.Errorf("lunaq enqueued a duplicate of Go's: %d", code)
			}
			if code := w.produceUnique(cFirst, payload); code != 0 {
				t.Errorf("lunaq: exit status %d", code)
			}
			if _, err := w.client.Enqueue(task, asynq.Queue(cFirst),
				asynq.Unique(time.Hour)); !errors.Is(err, asynq.ErrDuplicateTask) {
				t.Errorf("Go enqueued a duplicate of lunaq's: %v", err)
			}
			var ends []string
			for _, queue := range []string{goFirst, cFirst} {
				prefix := "asynq:{" + queue + "}:unique:"
				keys, err := w.redis.Keys(ctx, prefix+"*").Result()
				if err != nil || len(keys) != 1 {
					t.Fatalf("%s: locks %v, %v", queue, keys, err)
				}
				ends = append(ends, strings.TrimPrefix(keys[0], prefix))
			}
			if ends[0] != ends[1] {
				t.Errorf("Go's lock is %s, lunaq's %s", ends[0], ends[1])
			}
		})
	}
}

// A taken id and a taken lock are errors of their own, on both sides.
func TestConflictsAreToldApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	task := asynq.NewTask("t", []byte(`{"a":1}`))
	enqueue := []string{"enqueue", "t", "a:=1", "--queue", "q"}
	w.lunaq(append(enqueue, "--task-id", one, "--unique", "1h")...)
	if _, err := w.client.Enqueue(task, asynq.Queue("q"),
		asynq.TaskID(one)); !errors.Is(err, asynq.ErrTaskIDConflict) {
		t.Errorf("a taken id: Go says %v", err)
	}
	if _, err := w.client.Enqueue(task, asynq.Queue("q"),
		asynq.Unique(time.Hour)); !errors.Is(err, asynq.ErrDuplicateTask) {
		t.Errorf("a taken lock: Go says %v", err)
	}
	if out := w.lunaqFails(append(enqueue, "--task-id",
		one)...); !strings.Contains(out, "a task with id") {
		t.Errorf("a taken id: lunaq says %q", out)
	}
	if out := w.lunaqFails(append(enqueue, "--unique",
		"1h")...); !strings.Contains(out, "unique") {
		t.Errorf("a taken lock: lunaq says %q", out)
	}
	// Asynq leaves a lock behind when the id is taken; lunaq does not.
	w.lunaqFails("enqueue", "t", "a:=2", "--queue", "q", "--task-id", one,
		"--unique", "1h")
	w.lunaq("enqueue", "t", "a:=2", "--queue", "q", "--unique", "1h")
}

// One URL for both: a user with a password, a database, a port.
func TestConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	w.start("redis", nil, "redis-server", "--port", fmt.Sprint(port), "--bind",
		"127.0.0.1", "--save", "", "--appendonly", "no", "--dir", w.dir,
		"--requirepass", "default-secret", "--user", "bob", "on",
		">s3cret", "~asynq:*", "~lunaq:*", "&*", "+@all")
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	w.until("Redis answers", func() bool {
		r := redis.NewClient(&redis.Options{Addr: addr,
			Password: "default-secret"})
		defer r.Close()
		return r.Ping(context.Background()).Err() == nil
	})
	parsed, err := asynq.ParseRedisURI("redis://:default-secret@" + addr + "/3")
	if err != nil {
		t.Fatal(err)
	}
	handlers, err := filepath.Abs("handlers")
	w.ok(err)
	for name, connection := range map[string]struct {
		opt    asynq.RedisConnOpt
		broker string
	}{
		"password": {parsed, "redis://:default-secret@" + addr + "/3"},
		"user": {asynq.RedisClientOpt{Addr: addr, Username: "bob",
			Password: "s3cret", DB: 5}, "redis://bob:s3cret@" + addr + "/5"},
	} {
		client := asynq.NewClient(connection.opt)
		inspector := asynq.NewInspector(connection.opt)
		w.start("lunaqd", w.env("LUNAQ_QUEUES=q=1", "LUNAQ_BROKER="+
			connection.broker), os.Getenv("LUNAQD"), "--handlers", handlers)
		info, err := client.Enqueue(asynq.NewTask("interop:ok", nil),
			asynq.Queue("q"), asynq.Retention(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		w.until(name+": the task is completed", func() bool {
			got, err := inspector.GetTaskInfo("q", info.ID)
			return err == nil && got.State == asynq.TaskStateCompleted
		})
		w.ok(client.Close())
		w.ok(inspector.Close())
	}
}

// Results are bytes, whoever wrote them.
func TestResultsGoBothWays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startHandlers(map[string]string{
		"bytes.lua": `return function() return "\0\xff\n" end`})
	info := w.enqueue(asynq.NewTask("bytes", nil), asynq.Retention(time.Hour))
	info = w.settled("default", info.ID, asynq.TaskStateCompleted)
	if string(info.Result) != "\x00\xff\n" {
		t.Errorf("Go reads %q", info.Result)
	}
	w.startAsynq("go", func(_ context.Context, task *asynq.Task) error {
		_, err := task.ResultWriter().Write([]byte("säge\n✓"))
		return err
	})
	w.lunaq("enqueue", "t", "--queue", "go", "--task-id", one, "--retention",
		"1h")
	w.settled("go", one, asynq.TaskStateCompleted)
	if row, _ := w.lunaqJSON("task", "show", one).(map[string]any); row["result"] != "säge\n✓" {
		t.Errorf("lunaq reads %q", row["result"])
	}
}

// Patterns are byte prefixes, and the longest wins: for each type the same
// handler as in Go's mux.
func TestLongestPrefixWinsAsInAsynq(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	files := map[string]string{}
	mux := asynq.NewServeMux()
	patterns := []string{"email", "email:", "email:wel", "email:welcome", "ä"}
	for i, pattern := range patterns {
		mux.HandleFunc(pattern, func(context.Context, *asynq.Task) error {
			return nil
		})
		files[fmt.Sprintf("p%d.lua", i)] = fmt.Sprintf(
			"return { types = { %q, %q },\nrun = function() return %q end }",
			pattern, pattern+"*", pattern)
	}
	w.startHandlers(files, "LUNAQ_QUEUES=q=1")
	for _, kind := range []string{"email", "emailer:x", "email:", "email:w",
		"email:welcome", "email:welcome:again", "email:well", "ärger", "other",
		"Email:welcome"} {
		task := asynq.NewTask(kind, nil)
		_, pattern := mux.Handler(task)
		id := w.enqueue(task, asynq.Queue("q"), asynq.Retention(time.Hour)).ID
		if pattern == "" {
			info := w.settled("q", id, asynq.TaskStateRetry)
			if !strings.Contains(info.LastErr, "handler not found") {
				t.Errorf("%s: %q", kind, info.LastErr)
			}
			continue
		}
		info := w.settled("q", id, asynq.TaskStateCompleted)
		if string(info.Result) != pattern {
			t.Errorf("%s: lunaq took %q, Go %q", kind, info.Result, pattern)
		}
	}
}

// What is no failure uses no attempt and counts nowhere, until the last.
func TestIsFailureIsAsAsynqs(t *testing.T) {
	t.Parallel()
	ours, theirs := newWorld(t), newWorld(t)
	ours.ours = true
	ours.startHandlers(map[string]string{"f.lua": `return {
		is_failure = function() return false end,
		run = function() error("not counted") end }`},
		"LUNAQ_QUEUES=many=1,last=1")
	server := asynq.NewServer(theirs.opt, asynq.Config{Concurrency: 2,
		Queues:    map[string]int{"many": 1, "last": 1},
		LogLevel:  asynq.FatalLevel,
		IsFailure: func(error) bool { return false }})
	if err := server.Start(asynq.HandlerFunc(func(context.Context,
		*asynq.Task) error {
		return errors.New("not counted")
	})); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	for queue, m := range map[string]move{
		"many": {task: "f", state: asynq.TaskStateRetry},
		"last": {task: "f", state: asynq.TaskStateArchived,
			opts:  []asynq.Option{asynq.MaxRetry(0)},
			flags: []string{"--max-retry", "0"}},
	} {
		var got []snapshot
		for _, w := range []*world{ours, theirs} {
			w.put(m, queue)
			w.rest(m, queue)
			s := w.snapshotOf(queue)
			w.numbers(queue, s)
			got = append(got, s)
		}
		same(t, got[0], got[1])
	}
}

// Sentinels named by one URL lead both to the same master.
func TestBothBySentinel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port, sentinel := freePort(t), freePort(t)
	w.start("redis", nil, "redis-server", "--port", fmt.Sprint(port), "--bind",
		"127.0.0.1", "--save", "", "--appendonly", "no", "--dir", w.dir)
	config := filepath.Join(w.dir, "sentinel.conf")
	w.ok(os.WriteFile(config, []byte(fmt.Sprintf("port %d\nbind 127.0.0.1\n"+
		"dir %s\nsentinel monitor themaster 127.0.0.1 %d 1\n", sentinel, w.dir,
		port)), 0o644))
	w.start("redis", nil, "redis-server", config, "--sentinel")
	broker := fmt.Sprintf("redis-sentinel://127.0.0.1:%d?master=themaster",
		sentinel)
	opt, err := asynq.ParseRedisURI(broker)
	if err != nil {
		t.Fatal(err)
	}
	client, inspector := asynq.NewClient(opt), asynq.NewInspector(opt)
	defer client.Close()
	defer inspector.Close()
	var info *asynq.TaskInfo
	w.until("Go finds the master", func() bool {
		info, err = client.Enqueue(asynq.NewTask("interop:ok", nil),
			asynq.Queue("q"), asynq.Retention(time.Hour))
		return err == nil
	})
	handlers, err := filepath.Abs("handlers")
	w.ok(err)
	w.start("lunaqd", w.env("LUNAQ_QUEUES=q=1", "LUNAQ_BROKER="+broker),
		os.Getenv("LUNAQD"), "--handlers", handlers)
	w.until("the task is completed", func() bool {
		got, err := inspector.GetTaskInfo("q", info.ID)
		return err == nil && got.State == asynq.TaskStateCompleted
	})
	w.lunaq("--broker", broker, "enqueue", "interop:ok", "--queue", "q",
		"--task-id", one, "--retention", "1h")
	w.until("the other, too", func() bool {
		got, err := inspector.GetTaskInfo("q", one)
		return err == nil && got.State == asynq.TaskStateCompleted
	})
}
