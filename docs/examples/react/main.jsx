import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useStream } from "./useStream.js";

const HUB = import.meta.env.VITE_HUB ?? "http://127.0.0.1:8000";

async function start() {
    const answer = await fetch(`${HUB}/streams`, { method: "POST" });
    if (!answer.ok) throw new Error((await answer.json()).error.message);
    return new URL(answer.headers.get("Location"), HUB).href;
}

function Answer({ url }) {
    const { text, state } = useStream(url);
    return <><p id="text">{text}</p><p id="state" role="status">{state}</p></>;
}

function App() {
    const [url, setURL] = useState(null);
    const [problem, setProblem] = useState("");
    const ask = () => start().then(setURL, error => setProblem(error.message));
    return <><button id="start" onClick={ask}>Start</button>{problem}{url && <Answer url={url} />}</>;
}

createRoot(document.getElementById("root")).render(<StrictMode><App /></StrictMode>);
