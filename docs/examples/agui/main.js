import { HttpAgent } from "@ag-ui/client";
import { resumingFetch } from "./resume.js";

const agent = new HttpAgent({ url: "http://127.0.0.1:8000/agui", fetch: resumingFetch() });
agent.addMessage({ id: "1", role: "user", content: process.argv[2] ?? "Hello" });
await agent.runAgent({}, {
    onTextMessageContentEvent: ({ event }) => process.stdout.write(event.delta),
    onRunErrorEvent: ({ event }) => console.error(event.message),
});
console.log();
