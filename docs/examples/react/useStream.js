import { useEffect, useState } from "react";

const START = { text: "", state: "connecting" };

/** Follow a stream; return its text so far and the state of the connection. */
export function useStream(url) {
    const [answer, setAnswer] = useState(START);
    useEffect(() => {
        const source = new EventSource(url);
        const setState = state => setAnswer(before => ({ ...before, state }));
        const setText = change => setAnswer(before => ({ ...before, text: change(before.text) }));
        setAnswer(START);
        source.onopen = () => setState("open");
        source.onmessage = event => setText(text => text + event.data);
        source.onerror = () => {
            setState(source.readyState === EventSource.CLOSED ? "refused" : "waiting");
        };
        source.addEventListener("gap", event => {
            const { reason } = JSON.parse(event.data);
            setText(text => (reason === "trimmed" ? `${text} [...] ` : ""));
        });
        for (const end of ["done", "failed", "cancelled"]) {
            source.addEventListener(end, () => { source.close(); setState(end); });
        }
        return () => source.close();
    }, [url]);
    return answer;
}
