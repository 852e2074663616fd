/* Peer: Node's own `http`. `work.py` describes its work and its variables RATE, COUNT and HEARTBEAT. */
'use strict';

const http = require('node:http');

const RATE = Number(process.env.RATE ?? 20);
const COUNT = Number(process.env.COUNT ?? 0);
const HEARTBEAT = Number(process.env.HEARTBEAT ?? 15);
const EPOCH = 'NodeNodeNodeNodeNodeNo'; // 22 characters, as an epoch of sseserver

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

function run(response) {
  if (!RATE) {
    for (let number = 1; number <= COUNT; number++) response.write(token(number));
    response.end();
    return;
  }
  let number = 0, timer;
  const begin = performance.now();
  // Not `setInterval`, which is later with each event.
  const next = () => {
    response.write(token(++number));
    if (number === COUNT) response.end();
    else timer = setTimeout(next, Math.round(begin + (number * 1000) / RATE - performance.now()));
  };
  response.on('close', () => clearTimeout(timer));
  next();
}

function watch(response) {
  response.write(':\n\n');
  viewers.add(response);
  response.on('close', () => viewers.delete(response));
}

function idle(response) {
  response.write(':\n\n');
  const timer = setInterval(() => response.write(':\n\n'), HEARTBEAT * 1000);
  response.on('close', () => clearInterval(timer));
}

function publish(request, response) {
  let data = '';
  request.setEncoding('utf8');
  request.on('data', (part) => { data += part; });
  request.on('end', () => {
    const event = frame(++published, data);
    for (const viewer of viewers) viewer.write(event);
    response.writeHead(202).end();
  });
}

const server = http.createServer((request, response) => {
  if (request.method === 'POST') {
    publish(request, response);
    return;
  }
  response.writeHead(200, HEADERS);
  ({ '/watch': watch, '/idle': idle }[request.url] ?? run)(response);
});
server.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
