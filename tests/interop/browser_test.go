package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A browser without a window, told what to do through a pipe in Chrome's
// DevTools protocol: one JSON object, one NUL byte.
type browser struct {
	*dashboard
	to      *os.File
	answers chan map[string]any
	session string
	last    int
}

func (d *dashboard) browse(program string) *browser {
	d.t.Helper()
	in, to, err := os.Pipe()
	d.ok(err)
	from, out, err := os.Pipe()
	d.ok(err)
	var said lockedBuffer
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu",
		"--disable-dev-shm-usage", // a container may have little of it
		"--remote-debugging-pipe", "--window-size=1400,1000",
		"--user-data-dir="+filepath.Join(d.dir, "browser"),
		// The pages ask a font of the world outside.
		"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
	cmd.Env = []string{"HOME=" + d.dir, "PATH=" + os.Getenv("PATH")}
	cmd.WaitDelay = time.Second
	cmd.ExtraFiles = []*os.File{in, out} // 3 and 4
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	in.Close()
	out.Close()
	b := &browser{dashboard: d, to: to, answers: make(chan map[string]any, 100)}
	go func() {
		defer close(b.answers)
		reader := bufio.NewReader(from)
		for {
			text, err := reader.ReadBytes(0)
			if err != nil {
				return
			}
			var answer map[string]any
			if json.Unmarshal(text[:len(text)-1], &answer) == nil &&
				answer["id"] != nil {
				b.answers <- answer
			}
		}
	}()
	d.t.Cleanup(func() {
		to.Close() // which ends it, and its children
		timer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		timer.Stop()
		from.Close()
		if d.t.Failed() {
			d.t.Logf("the browser said:\n%s", said.String())
		}
	})
	target := b.call("Target.createTarget", map[string]any{"url": "about:blank"})
	attached := b.call("Target.attachToTarget", map[string]any{
		"targetId": target["targetId"], "flatten": true})
	b.session, _ = attached["sessionId"].(string)
	return b
}

// call waits for the answer to one command, at most a minute.
func (b *browser) call(method string, params map[string]any) map[string]any {
	b.t.Helper()
	b.last++
	command := map[string]any{"id": b.last, "method": method, "params": params}
	if b.session != "" {
		command["sessionId"] = b.session
	}
	text, err := json.Marshal(command)
	b.ok(err)
	_, err = b.to.Write(append(text, 0))
	b.ok(err)
	for {
		select {
		case answer, open := <-b.answers:
			if !open {
				b.t.Fatalf("%s: the browser is gone", method)
			}
			if answer["id"] != float64(b.last) {
				continue
			}
			if answer["error"] != nil {
				b.t.Fatalf("%s: %v", method, answer["error"])
			}
			result, _ := answer["result"].(map[string]any)
			return result
		case <-time.After(time.Minute):
			b.t.Fatalf("%s: no answer", method)
		}
	}
}

// eval is the value of a JavaScript expression in the page.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	answer := b.call("Runtime.evaluate", map[string]any{
		"expression": expression, "returnByValue": true})
	result, _ := answer["result"].(map[string]any)
	return result["value"]
}

// text is what a reader sees of the page.
func (b *browser) text() string {
	b.t.Helper()
	text, _ := b.eval("document.body ? document.body.innerText : ''").(string)
	return strings.Join(strings.Fields(text), " ")
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": b.url + path})
}

// holds looks for a text that does not go on in more letters or digits: "Retry
// 3" is not in "Retry 30".
func holds(page, text string) bool {
	more := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
	for {
		before, after, found := strings.Cut(page, text)
		if !found {
			return false
		}
		last, _ := utf8.DecodeLastRuneInString(before)
		first, _ := utf8.DecodeRuneInString(after)
		if !more(last) && !more(first) {
			return true
		}
		page = after
	}
}

// until waits for the page to hold all of the texts.
func (b *browser) until(what string, texts ...string) {
	b.t.Helper()
	end := time.Now().Add(30 * time.Second)
	for {
		page, missing := b.text(), ""
		for _, text := range texts {
			if !holds(page, text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			b.t.Errorf("%s: the page does not show %q:\n%s", what, missing, page)
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// shows opens a page, and wants it to show all of the texts.
func (b *browser) shows(path string, texts ...string) {
	b.t.Helper()
	b.open(path)
	b.until(path, texts...)
}

// choose types into the field with the placeholder or label, and takes the
// first proposal.
func (b *browser) choose(label, value string) {
	b.t.Helper()
	b.until("the field "+label, label)
	find := fmt.Sprintf(`[...document.querySelectorAll("input")].find(i =>
		(i.labels[0] || i.closest("div").parentElement).innerText.includes(%q) ||
		i.placeholder.includes(%q))`, label, label)
	if b.eval(find+`.focus(), document.activeElement.tagName`) != "INPUT" {
		b.t.Errorf("there is no field %q:\n%s", label, b.text())
		return
	}
	b.call("Input.insertText", map[string]any{"text": value})
	for _, key := range []struct {
		name string
		code int
	}{{"ArrowDown", 40}, {"Enter", 13}} {
		for _, kind := range []string{"keyDown", "keyUp"} {
			b.call("Input.dispatchKeyEvent", map[string]any{"type": kind,
				"key": key.name, "code": key.name,
				"windowsVirtualKeyCode": key.code})
		}
	}
}
