const hub = import.meta.env.VITE_HUB ?? "http://127.0.0.1:8000";
const text = document.getElementById("text"), state = document.getElementById("state");
let source;

document.getElementById("start").onclick = async () => {
    const answer = await fetch(`${hub}/streams`, { method: "POST" });
    if (!answer.ok) {
        state.textContent = (await answer.json()).error.message;
        return;
    }
    source?.close();
    text.textContent = "";
    source = follow(new URL(answer.headers.get("Location"), hub));
};

function follow(url) {
    const source = new EventSource(url);
    source.onopen = () => { state.textContent = "open"; };
    source.onmessage = event => { text.textContent += event.data; };
    source.onerror = () => { state.textContent = source.readyState === EventSource.CLOSED ? "refused" : "waiting"; };
    for (const end of ["done", "failed", "cancelled"]) {
        source.addEventListener(end, () => { source.close(); state.textContent = end; });
    }
    return source;
}
