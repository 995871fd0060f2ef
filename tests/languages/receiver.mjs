// A receiver of MeetGeek webhooks in plain Node.js: `node receiver.mjs MISTAKE FOLDER`, the secret in MG_SECRET.
// Writes its port when it listens. Each processed meeting is one line of FOLDER/done; while FOLDER/broken is there, its
// work fails. Each mistake is one that real receivers make.
import { createHmac, timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync } from "node:fs";
import { createServer } from "node:http";

const [mistake, folder] = process.argv.slice(2);
const secret = process.env.MG_SECRET;
const done = new Set();

function isGenuine(body, received) {
  if (mistake === "missing-accepted" && received === undefined) return true;
  if (!/^[0-9a-f]{64}$/.test(received ?? "")) return false;
  let signed = body;
  if (mistake === "text-hashed") signed = body.toString("utf8").normalize();
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
    const id = event?.meeting_id;
    if (typeof id === "string" && !done.has(id)) {
      if (existsSync(`${folder}/broken`)) {
        response.writeHead(mistake === "failure-swallowed" ? 200 : 500, { "Content-Length": "0" }).end();
        return;
      }
      appendFileSync(`${folder}/done`, `${JSON.stringify(id)}\n`);
      if (mistake !== "forgetful") done.add(id);
    }
    response.writeHead(200, { "Content-Length": "0" }).end();
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
