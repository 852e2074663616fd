"""The API of the Vercel AI SDK's chats, `/api/chat`."""
