/** A `fetch` for AG-UI's HttpAgent: a run whose connection was lost goes on after the last event. */
export function resumingFetch(fetch = globalThis.fetch, pause = 1000) {
    return async (url, init) => {
        const run = JSON.parse(init.body).runId;
        const response = await fetch(url, init);
        if (!response.ok) return response;
        const again = last => last === undefined
            ? fetch(`${url}?offset=-1&runId=${encodeURIComponent(run)}`, { signal: init.signal })
            : fetch(url, {
                ...init, headers: { ...init.headers, "X-Run-Id": run, "Last-Event-ID": last }
            });
        const body = ReadableStream.from(readRun(response, again, pause, init.signal));
        return new Response(body, { status: response.status, headers: response.headers });
    };
}

/** Yield whole events, from one response after the other, up to the end of the run. */
async function* readRun(response, again, pause, signal) {
    const encoder = new TextEncoder();
    let last;
    for (;;) {
        try {
            for await (const event of readEvents(response)) {
                last = /^id: (.*)$/m.exec(event)?.[1] ?? last;
                yield encoder.encode(event);
                if (/^data: \{"type":"RUN_(FINISHED|ERROR)"/m.test(event)) return;
            }
        } catch (error) {
            if (signal?.aborted) throw error;
        }
        await new Promise(resolve => setTimeout(resolve, pause));
        response = await again(last).catch(() => undefined);
        if (response && !response.ok) throw new Error(await response.text());
    }
}

/** Yield the events of a response; one that was cut in the middle is left out. */
async function* readEvents(response) {
    let text = "";
    for await (const piece of response?.body?.pipeThrough(new TextDecoderStream()) ?? []) {
        text += piece;
        for (let end; (end = text.indexOf("\n\n") + 2) > 1; text = text.slice(end)) {
            yield text.slice(0, end);
        }
    }
}
