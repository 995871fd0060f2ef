// Reads lines of "secret body", both in hexadecimal; writes the HMAC-SHA256 of each body.
import { createHmac } from "node:crypto";
import { readFileSync } from "node:fs";

const answers = readFileSync(0, "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => line.split(" ").map((part) => Buffer.from(part, "hex")))
  .map(([secret, body]) => createHmac("sha256", secret).update(body).digest("hex"));
process.stdout.write(`${answers.join("\n")}\n`);
