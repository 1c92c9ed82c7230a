package interop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// The lock that Go computes is the one that lunaq computes: whoever comes
// second hears that the task is a duplicate.
func TestUniqueKeysAreTheSame(t *testing.T) {
	w := newWorld(t)
	blob := filepath.Join(w.dir, "blob")
	if err := os.WriteFile(blob, []byte{0, 255, 10}, 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := filepath.Join(w.dir, "nothing")
	if err := os.WriteFile(nothing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cases := []struct {
		name    string
		payload []byte
		args    []string
	}{
		{"json", []byte(`{"u":1}`), []string{"u:=1"}},
		{"nil", nil, nil},
		{"empty", []byte{}, []string{"--payload", nothing}},
		{"binary", []byte{0, 255, 10}, []string{"--payload", blob}},
	}
	for _, c := range cases {
		for _, queue := range []string{"default", "low"} {
			t.Run(c.name+"_"+queue, func(t *testing.T) {
				lunaq := func(typename string) []string {
					return append([]string{"enqueue", typename, "--unique",
						"1h", "--queue", queue}, c.args...)
				}
				w.lunaq(lunaq("first:lunaq:" + c.name)...)
				_, err := w.client.Enqueue(
					asynq.NewTask("first:lunaq:"+c.name, c.payload),
					asynq.Unique(time.Hour), asynq.Queue(queue))
				if !errors.Is(err, asynq.ErrDuplicateTask) {
					t.Errorf("Go after lunaq: %v", err)
				}
				w.enqueue(asynq.NewTask("first:go:"+c.name, c.payload),
					asynq.Unique(time.Hour), asynq.Queue(queue))
				w.lunaqFails(lunaq("first:go:" + c.name)...)
			})
		}
	}
}

// The lock lasts from when the task may run, in a group or not.
func TestUniqueLocksLastAsLong(t *testing.T) {
	w := newWorld(t)
	ttl := func(typename string) time.Duration {
		keys, err := w.redis.Keys(context.Background(),
			"asynq:{default}:unique:"+typename+":*").Result()
		if err != nil || len(keys) != 1 {
			t.Fatalf("%s: locks %v, %v", typename, keys, err)
		}
		left, err := w.redis.TTL(context.Background(), keys[0]).Result()
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	payload := []byte(`{"u":1}`)
	cases := []struct {
		name string
		opts []asynq.Option
		args []string
	}{
		{"now", nil, nil},
		{"later", []asynq.Option{asynq.ProcessIn(time.Hour)},
			[]string{"--process-in", "1h"}},
		{"group", []asynq.Option{asynq.Group("g")}, []string{"--group", "g"}},
		{"group_later",
			[]asynq.Option{asynq.Group("g"), asynq.ProcessIn(time.Hour)},
			[]string{"--group", "g", "--process-in", "1h"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w.enqueue(asynq.NewTask("go:"+c.name, payload),
				append(c.opts, asynq.Unique(10*time.Minute))...)
			w.lunaq(append([]string{"enqueue", "lunaq:" + c.name, "u:=1",
				"--unique", "10m"}, c.args...)...)
			theirs, ours := ttl("go:"+c.name), ttl("lunaq:"+c.name)
			if d := ours - theirs; d < -2*time.Second || d > 30*time.Second {
				t.Errorf("locked for %v by lunaq, %v by Go", ours, theirs)
			}
		})
	}
}

// What is not said has the same value: a deadline alone means no timeout.
func TestDefaultsAreTheSame(t *testing.T) {
	w := newWorld(t)
	payload := []byte(`{"u":1}`)
	at := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	cases := []struct {
		name string
		opts []asynq.Option
		args []string
	}{
		{"nothing", nil, nil},
		{"deadline", []asynq.Option{asynq.Deadline(at)},
			[]string{"--deadline", at.Format(time.RFC3339)}},
		{"timeout", []asynq.Option{asynq.Timeout(time.Minute)},
			[]string{"--timeout", "1m"}},
		{"both", []asynq.Option{asynq.Timeout(time.Minute),
			asynq.Deadline(at)},
			[]string{"--timeout", "1m", "--deadline", at.Format(time.RFC3339)}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			theirs := w.enqueue(asynq.NewTask("d:"+c.name, payload), c.opts...)
			id := "lunaq-" + c.name
			w.lunaq(append([]string{"enqueue", "d:" + c.name, "u:=1",
				"--task-id", id}, c.args...)...)
			ours, err := w.inspector.GetTaskInfo("default", id)
			if err != nil {
				t.Fatal(err)
			}
			if ours.Timeout != theirs.Timeout ||
				!ours.Deadline.Equal(theirs.Deadline) ||
				ours.MaxRetry != theirs.MaxRetry {
				t.Errorf("lunaq: %v, %v, %d; Go: %v, %v, %d", ours.Timeout,
					ours.Deadline, ours.MaxRetry, theirs.Timeout,
					theirs.Deadline, theirs.MaxRetry)
			}
		})
	}
}
