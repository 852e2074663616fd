const hub = "http://localhost:8000";
const form = document.querySelector("form");

form.onsubmit = async event => {
    event.preventDefault();
    const question = form.question.value;
    const answer = show(question);
    form.reset();
    const response = await fetch(`${hub}/streams`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ prompt: question }),
    });
    if (!response.ok) {
        answer.state.textContent = (await response.json()).error.message;
        return;
    }
    answer.url = new URL(response.headers.get("Location"), hub);
    follow(answer);
};

function show(question) {
    const [asked, text, state] = ["h2", "p", "em"].map(name => document.createElement(name));
    asked.textContent = question;
    state.textContent = "asking";
    document.getElementById("answers").append(asked, text, state);
    return { text, state, pause: 1000 };
}

function follow(answer) {
    const source = new EventSource(answer.url);
    const listen = (type, act) => source.addEventListener(type, event => {
        answer.url.searchParams.set("last_event_id", event.lastEventId);
        answer.pause = 1000;
        act(event);
    });
    listen("message", event => { answer.text.textContent += event.data; });
    listen("gap", event => {
        if (JSON.parse(event.data).reason !== "trimmed") answer.text.textContent = "";
    });
    for (const end of ["done", "failed", "cancelled"]) {
        listen(end, event => {
            source.close();
            answer.state.textContent = JSON.parse(event.data).message ?? end;
        });
    }
    source.onopen = () => { answer.state.textContent = "answering"; };
    source.onerror = () => {
        answer.state.textContent = "reconnecting";
        if (source.readyState === EventSource.CLOSED) reopen(answer);
    };
}

async function reopen(answer) {
    await new Promise(resolve => setTimeout(resolve, answer.pause * (0.5 + Math.random() / 2)));
    answer.pause = Math.min(2 * answer.pause, 30_000);
    let status = 0; // No answer, or one that does not come from the server.
    try {
        const options = { headers: { Accept: "application/json" }, cache: "no-store" };
        const response = await fetch(answer.url, options);
        await response.json();
        status = response.status;
    } catch { }
    if (status === 200) follow(answer);
    else if (status === 0 || status === 429 || status >= 500) reopen(answer);
    else answer.state.textContent = "lost";
}
