import { createDurableChatTransport } from "@durable-streams/aisdk-transport";
import { readUIMessageStream } from "ai";

const transport = createDurableChatTransport({
    api: "http://127.0.0.1:8000/api/chat",
    headers: { Prefer: "respond-async" },
});
const parts = [{ type: "text", text: process.argv[2] ?? "Hello" }];
const stream = await transport.sendMessages({
    chatId: "chat-2",
    trigger: "submit-message",
    messages: [{ id: "1", role: "user", parts }],
});

let last;
for await (const message of readUIMessageStream({ stream })) last = message;
console.log(last.parts.filter(part => part.type === "text").map(part => part.text).join(""));
