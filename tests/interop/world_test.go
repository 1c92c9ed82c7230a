// Package interop runs lunaq and Asynq against one Redis: each enqueues what
// the other runs, and each must show what the other did.
//
// The variables LUNAQD and LUNAQ name the programs; see the script run.
package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// A world is a private Redis, and programs that use it.  Each test has one.
type world struct {
	t         *testing.T
	ours      bool // tasks are put here by lunaq
	dir       string
	opt       asynq.RedisClientOpt
	redis     *redis.Client
	client    *asynq.Client
	inspector *asynq.Inspector
}

func newWorld(t *testing.T) *world {
	t.Helper()
	// A short path: a socket's may have 107 bytes.
	dir, err := os.MkdirTemp("", "lunaq-go-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	w := &world{t: t, dir: dir}
	sock := filepath.Join(dir, "redis.sock")
	w.start("redis", nil, "redis-server", "--port", "0", "--unixsocket", sock,
		"--save", "", "--appendonly", "no", "--dir", dir)
	w.opt = asynq.RedisClientOpt{Network: "unix", Addr: sock}
	w.redis = redis.NewClient(&redis.Options{Network: "unix", Addr: sock})
	w.until("Redis answers", func() bool {
		return w.redis.Ping(context.Background()).Err() == nil
	})
	w.client = asynq.NewClient(w.opt)
	w.inspector = asynq.NewInspector(w.opt)
	t.Cleanup(func() {
		w.client.Close()
		w.inspector.Close()
		w.redis.Close()
	})
	return w
}

// env is what a program of lunaq's sees, so that nothing of the caller's
// configuration leaks in.
func (w *world) env(extra ...string) []string {
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "TZ=UTC",
		"LUNAQ_BROKER=redis-socket://" + w.opt.Addr,
		"ASAN_OPTIONS=" + os.Getenv("ASAN_OPTIONS"),
		"TSAN_OPTIONS=" + os.Getenv("TSAN_OPTIONS"),
	}, extra...)
}

// start runs a program until the end of the test, which stops it by TERM and
// prints its output when the test failed.
func (w *world) start(name string, env []string, argv ...string) *exec.Cmd {
	w.t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env, cmd.Dir = env, w.dir
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if err != nil && name == "lunaqd" {
			w.t.Errorf("lunaqd ended with %v", err)
		}
		if w.t.Failed() && name != "redis" {
			w.t.Logf("%s said:\n%s", name, out.String())
		}
	})
	return cmd
}

// startLunaqd serves the queues with the handlers beside this file.
func (w *world) startLunaqd(queues string, extra ...string) {
	w.t.Helper()
	handlers, err := filepath.Abs("handlers")
	if err != nil {
		w.t.Fatal(err)
	}
	env := w.env(append([]string{"LUNAQ_QUEUES=" + queues}, extra...)...)
	w.start("lunaqd", env, os.Getenv("LUNAQD"), "--handlers", handlers,
		"--shutdown-timeout", "1s")
	w.until("lunaqd is listed as a server", func() bool {
		servers, err := w.inspector.Servers()
		return err == nil && len(servers) > 0
	})
}

// startAsynq serves a queue with Asynq's own server.
func (w *world) startAsynq(queue string, handler asynq.HandlerFunc) {
	w.t.Helper()
	server := asynq.NewServer(w.opt, asynq.Config{
		Concurrency: 4, Queues: map[string]int{queue: 1},
		LogLevel: asynq.ErrorLevel, TaskCheckInterval: 200 * time.Millisecond,
		DelayedTaskCheckInterval: time.Second,
	})
	if err := server.Start(handler); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(server.Shutdown)
}

// spawnLunaqd is startLunaqd for a test that ends it itself, by the signal it
// gives to the function returned.
func (w *world) spawnLunaqd(queues string, extra ...string) func(syscall.Signal) {
	w.t.Helper()
	handlers, err := filepath.Abs("handlers")
	if err != nil {
		w.t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(os.Getenv("LUNAQD"), "--handlers", handlers)
	cmd.Stdout, cmd.Stderr, cmd.Dir = &out, &out, w.dir
	cmd.Env = w.env(append([]string{"LUNAQ_QUEUES=" + queues}, extra...)...)
	return w.spawn("lunaqd", cmd, &out)
}

func (w *world) spawn(name string, cmd *exec.Cmd, out *bytes.Buffer) func(syscall.Signal) {
	w.t.Helper()
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	ended := false
	stop := func(signal syscall.Signal) {
		if ended {
			return
		}
		ended = true
		cmd.Process.Signal(signal)
		timer := time.AfterFunc(20*time.Second, func() { cmd.Process.Kill() })
		err := cmd.Wait()
		timer.Stop()
		if signal != syscall.SIGKILL && err != nil {
			w.t.Errorf("%s ended with %v", name, err)
		}
		if w.t.Failed() {
			w.t.Logf("%s ended with %v and said:\n%s", name, err, out.String())
		}
	}
	w.t.Cleanup(func() { stop(syscall.SIGKILL) })
	return stop
}

// lunaq runs the command line tool; its output.
func (w *world) lunaq(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv("LUNAQ"), args...)
	cmd.Env, cmd.Dir = w.env(), w.dir
	out, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if exit, ok := err.(*exec.ExitError); ok {
			stderr = exit.Stderr
		}
		w.t.Fatalf("lunaq %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr)
	}
	return string(out)
}

// lunaqFails runs it and wants it to fail; what it said.
func (w *world) lunaqFails(args ...string) string {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Getenv("LUNAQ"), args...)
	cmd.Env, cmd.Dir = w.env(), w.dir
	out, err := cmd.CombinedOutput()
	if err == nil {
		w.t.Errorf("lunaq %s did not fail", strings.Join(args, " "))
	}
	return string(out)
}

// lunaqJSON runs it with --json; what it printed.
func (w *world) lunaqJSON(args ...string) any {
	w.t.Helper()
	out := w.lunaq(append(args, "--json")...)
	var v any
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.t.Fatalf("lunaq %s --json: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// A lockedBuffer is read while a program still writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// until waits for an event, at most 30 s.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for !done() {
		if time.Now().After(end) {
			w.t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *world) enqueue(task *asynq.Task, opts ...asynq.Option) *asynq.TaskInfo {
	w.t.Helper()
	info, err := w.client.Enqueue(task, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return info
}

// settled waits until Asynq's inspector sees the task in the state.
func (w *world) settled(queue, id string, state asynq.TaskState) *asynq.TaskInfo {
	w.t.Helper()
	var info *asynq.TaskInfo
	w.until(fmt.Sprintf("task %s is %v", id, state), func() bool {
		var err error
		info, err = w.inspector.GetTaskInfo(queue, id)
		return err == nil && info.State == state
	})
	return info
}
