// A small event server as Node programmers write it: http, the library ws, the last
// 1,000 events of a session in memory.
import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const kept = 1000;
const sessions = new Map();

function session(name) {
  let s = sessions.get(name);
  if (!s) sessions.set(name, (s = { count: 0, events: [], followers: new Set() }));
  return s;
}

function publish(name, body) {
  const s = session(name);
  const event = { ...JSON.parse(body), receivedAt: new Date().toISOString(), seq: ++s.count };
  const text = JSON.stringify({ type: "event", sessionId: name, event });
  s.events.push({ seq: event.seq, text });
  if (s.events.length > kept) s.events.shift();
  for (const socket of s.followers) socket.send(text);
  return event.seq;
}

function after(name, since) {
  return session(name).events.filter((e) => e.seq > since).map((e) => e.text);
}

function answer(response, status, text) {
  response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const [, verb, name] = url.pathname.split("/");
  if (verb === "poll") {
    answer(response, 200, `[${after(name, Number(url.searchParams.get("since"))).join(",")}]`);
    return;
  }
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => answer(response, 201, JSON.stringify({ seq: publish(name, Buffer.concat(chunks).toString()) })));
});

new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (socket) => {
  socket.on("message", (data) => {
    const { subscribe, since } = JSON.parse(data);
    if (since !== undefined) for (const text of after(subscribe, since)) socket.send(text);
    session(subscribe).followers.add(socket);
    socket.on("close", () => session(subscribe).followers.delete(socket));
  });
});
server.listen({ port: Number(process.argv[2]), host: "127.0.0.1", backlog: 4096 });
