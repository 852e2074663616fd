/* Peer: Bun's own server. `work.py` describes its work and its variables RATE, COUNT and HEARTBEAT. */

const RATE = Number(process.env.RATE ?? 20);
const COUNT = Number(process.env.COUNT ?? 0);
const HEARTBEAT = Number(process.env.HEARTBEAT ?? 15);
const EPOCH = 'BunBunBunBunBunBunBunB'; // 22 characters, as an epoch of sseserver

const HEADERS = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache, no-store, no-transform',
  'X-Accel-Buffering': 'no',
  'X-Content-Type-Options': 'nosniff',
};

const viewers = new Set();
let published = 0;

const frame = (number, data) => `id: ${EPOCH}-${number}\ndata: ${data}\n\n`;
const token = (number) => frame(number, `word${number % 1000} `);

/* Return a response whose body `pull` writes, until its promise is resolved. */
const stream = (pull) => new Response(new ReadableStream({ type: 'direct', pull }), { headers: HEADERS });

const gone = (request) => new Promise((resolve) => request.signal.addEventListener('abort', resolve));

const run = (request) => stream(async (controller) => {
  const begin = performance.now();
  for (let number = 1; !COUNT || number <= COUNT; number++) {
    if (RATE) {
      const left = begin + ((number - 1) * 1000) / RATE - performance.now();
      if (left > 0) await Bun.sleep(left);
      if (request.signal.aborted) return;
    }
    controller.write(token(number));
    if (RATE) controller.flush();
  }
  controller.close();
});

const watch = (request) => stream(async (controller) => {
  controller.write(':\n\n');
  controller.flush();
  viewers.add(controller);
  await gone(request);
  viewers.delete(controller);
});

const idle = (request) => stream(async (controller) => {
  const beat = () => { controller.write(':\n\n'); controller.flush(); };
  beat();
  const timer = setInterval(beat, HEARTBEAT * 1000);
  await gone(request);
  clearInterval(timer);
});

async function publish(request) {
  const event = frame(++published, await request.text());
  for (const viewer of viewers) {
    viewer.write(event);
    viewer.flush();
  }
  return new Response(null, { status: 202 });
}

Bun.serve({
  port: Number(process.argv[2]),
  hostname: '127.0.0.1',
  idleTimeout: 0,
  fetch(request) {
    if (request.method === 'POST') return publish(request);
    return ({ '/watch': watch, '/idle': idle }[new URL(request.url).pathname] ?? run)(request);
  },
});
