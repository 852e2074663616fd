import { WorkflowChatTransport } from "@ai-sdk/workflow/client";
import { readUIMessageStream } from "ai";

const transport = new WorkflowChatTransport({ api: "http://127.0.0.1:8000/api/chat" });
const parts = [{ type: "text", text: process.argv[2] ?? "Hello" }];
const stream = await transport.sendMessages({
    chatId: "chat-1",
    body: { id: "chat-1" },
    trigger: "submit-message",
    messages: [{ id: "1", role: "user", parts }],
});

let written = 0;
for await (const message of readUIMessageStream({ stream })) {
    const text = message.parts.filter(part => part.type === "text").map(part => part.text).join("");
    process.stdout.write(text.slice(written));
    written = text.length;
}
console.log();
