// Checks of the page's Markdown, in the page itself. `arguments[0]` are examples of CommonMark, each with `markdown` and `html`;
// `arguments[1]` are texts to stream. The result has the numbers of the examples that differ, and what went wrong while texts grew.

const done = arguments[arguments.length - 1];
const escape = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/"/g, "&quot;");

function plain(address) {
  try {
    return decodeURI(address);
  } catch (error) {
    return address;
  }
}

// Write a tree as HTML, without the additions of the page: groups, bars of code, paragraphs of tight lists.
function write(node) {
  let out = "";
  for (const child of node.childNodes) {
    if (child.nodeType === Node.TEXT_NODE) out += escape(child.data);
    if (child.nodeType !== Node.ELEMENT_NODE) continue;
    const isTight = child.localName === "p" && node.localName === "li" && node.parentNode.classList.contains("tight");
    const code = child.matches("div.code, pre") && child.querySelector("code");
    if (child.className === "group" || isTight) out += "\u0001" + write(child) + "\u0001";
    else if (code) out += `<pre><code ${code.className}>${escape(code.textContent.replace(/\n$/, ""))}</code></pre>`;
    else {
      const kept = ["href", "title", "start"].filter((name) => child.getAttribute(name));
      const attributes = kept.map((name) => ` ${name}="${escape(plain(child.getAttribute(name)))}"`).join("");
      out += `<${child.localName}${attributes}>${write(child)}</${child.localName}>`;
    }
  }
  return out;
}

// White space between blocks does not count.
function squeeze(html) {
  const block = "(?:p|div|blockquote|ul|ol|li|pre|hr|h[1-6]|br)";
  const before = new RegExp("[\u0001\\n ]*(</?" + block + "[ >])", "g");
  const after = new RegExp("(</?" + block.replace("pre|", "") + "(?: [^>]*)?>)[\u0001\\n ]*", "g");
  return html.replace(before, "$1").replace(after, "$1").replace(/\u0001/g, "").trim();
}

const parse = (html) => squeeze(write(new DOMParser().parseFromString(html, "text/html").body));

function render(Markdown, pieces, watch = () => {}) {
  const element = document.createElement("div");
  const view = new Markdown(element);
  for (const piece of pieces) {
    view.append(piece);
    while (view.show(false));
    watch(element);
  }
  while (view.show(true));
  return element;
}

// Each visible character with the elements around it.
function trace(node, path = "") {
  if (node.nodeType === Node.TEXT_NODE) return [...node.data].filter((sign) => /\S/.test(sign)).map((sign) => sign + path);
  if (node.className === "bar") return [];
  return [...node.childNodes].flatMap((child) => trace(child, path + "/" + node.localName));
}

// Return what was shown of a growing text and then taken back.
function findFlicker(Markdown, text) {
  const shown = [];
  const last = trace(render(Markdown, text, (element) => shown.push(trace(element))));
  const place = shown.findIndex((each) => each.some((sign, index) => sign !== last[index]));
  return place < 0 ? null : text.slice(0, place + 1).slice(-40) + " | " + shown[place].slice(-3).join(" ");
}

// Pieces of a text, as a network cuts it.
function cut(text, seed) {
  const pieces = [];
  for (let place = 0, size = seed; place < text.length; place += size) {
    size = 1 + ((size * 7 + 3) % 11);
    pieces.push(text.slice(place, place + size));
  }
  return pieces;
}

import(new URL("assets/markdown.js", location)).then(({ Markdown }) => {
  const different = [];
  const unsteady = [];
  for (const { number, markdown, html } of arguments[0]) {
    const whole = squeeze(write(render(Markdown, [markdown])));
    if (whole !== parse(html)) different.push(number);
    for (const pieces of [markdown, cut(markdown, 3)]) {
      if (squeeze(write(render(Markdown, pieces))) !== whole) unsteady.push(number);
    }
  }
  done({ different, unsteady, flicker: arguments[1].map((text) => findFlicker(Markdown, text)).filter(Boolean) });
}, (error) => done(String(error)));
