// The work of a model beside its text: reasoning, folded, and the tools that it calls, with their arguments as they grow.

import { make } from "./markdown.js";
import { paint } from "./painting.js";
import { Plain } from "./plain.js";

export class Work {
  constructor(element) {
    this.element = element;
    this.clear();
  }

  clear() {
    this.element.replaceChildren();
    this.calls = [];
    this.thoughts = null;
  }

  get reasoning() {
    return this.thoughts ? this.thoughts.text : "";
  }

  // Add what a chunk has (https://platform.openai.com/docs/api-reference/chat-streaming; servers differ in the name of the reasoning).
  add({ choices }) {
    const [{ delta = {} } = {}] = Array.isArray(choices) ? choices : [];
    const { reasoning_content: content, reasoning, tool_calls: calls, function_call: call } = delta || {};
    const thought = content || reasoning;
    if (typeof thought === "string" && thought) this.think(thought);
    if (Array.isArray(calls)) calls.forEach((each) => this.call(each));
    if (call) this.call({ function: call });
  }

  think(text) {
    if (!this.thoughts) {
      const box = make("div", { className: "thoughts", dir: "auto" });
      this.summary = make("summary", { textContent: "Thinking" });
      this.fold = this.element.appendChild(make("details", { className: "fold thinking" }, this.summary, box));
      this.thoughts = new Plain(box);
      this.since = performance.now();
    }
    this.thoughts.append(text);
    paint(this.thoughts, () => this.thoughts && this.thoughts.show());
  }

  // The first token of the answer, or its end, ends the reasoning.
  settle() {
    if (!this.thoughts || !this.fold.classList.contains("thinking")) return;
    const seconds = Math.round((performance.now() - this.since) / 1000);
    this.fold.classList.remove("thinking");
    this.summary.textContent = seconds > 1 ? "Thought for " + seconds + " seconds" : "Thoughts";
  }

  // Another ID begins another call.
  call({ index = 0, id = "", function: { name = "", arguments: text = "" } = {} }) {
    let call = this.calls.findLast((each) => each.index === index);
    if (!call || (id && call.id && call.id !== id)) {
      const code = make("code");
      const title = make("b");
      this.element.append(make("details", { className: "fold call", open: true }, make("summary", {}, "Calls ", title), make("pre", { tabIndex: 0, dir: "ltr" }, code)));
      call = { index, id, name: "", text: "", code, title };
      this.calls.push(call);
    }
    call.id ||= id;
    call.name += name || "";
    call.text += text || "";
    paint(call, () => this.showCall(call));
  }

  showCall({ name, text, title, code }) {
    title.textContent = name;
    code.textContent = format(text);
  }

  pack() {
    return { reasoning: this.reasoning, calls: this.calls.map(({ index, id, name, text }) => ({ index, id, function: { name, arguments: text } })) };
  }

  unpack({ reasoning, calls = [] }) {
    if (reasoning) this.think(reasoning);
    if (reasoning) this.since = performance.now();
    this.settle();
    calls.forEach((each) => this.call(each));
  }
}

// Complete JSON is indented.
function format(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch (error) {
    return text;
  }
}
