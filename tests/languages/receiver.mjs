// A receiver of MeetGeek webhooks in plain Node.js: `node receiver.mjs [MISTAKE]`, the secret in MG_SECRET.
// Writes its port when it listens. Each mistake is one that real receivers make.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const mistake = process.argv[2] ?? "none";
const secret = process.env.MG_SECRET;

function isGenuine(body, received) {
  if (mistake === "missing-accepted" && received === undefined) return true;
  if (!/^[0-9a-f]{64}$/.test(received ?? "")) return false;
  let signed = body;
  if (mistake === "reserialised") {
    try {
      signed = JSON.stringify(JSON.parse(body.toString("utf8")));
    } catch {
      return false;
    }
  }
  const expected = createHmac("sha256", secret).update(signed).digest();
  return timingSafeEqual(expected, Buffer.from(received, "hex"));
}

// Header fields may be large, so that it is this receiver that refuses them: Node.js by itself closes the connection.
const server = createServer({ maxHeaderSize: 65_536 }, (request, response) => {
  const chunks = [];
  request.on("data", (chunk) => chunks.push(chunk));
  request.on("end", () => {
    const body = Buffer.concat(chunks);
    if (!isGenuine(body, request.headers["x-mg-signature"])) {
      response.writeHead(401).end();
      return;
    }
    let event = null;
    try {
      event = JSON.parse(body.toString("utf8"));
    } catch {
      // A genuine body that is no JSON is acknowledged, too: sending it again would not change it.
    }
    if (mistake === "id-demanded" && typeof event?.meeting_id !== "string") {
      response.writeHead(400).end();
      return;
    }
    response.writeHead(200, { "Content-Length": "0" }).end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
