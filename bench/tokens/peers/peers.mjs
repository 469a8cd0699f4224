// One peer's encoding of files, as bench/tokens_speed.cpp does ours: node peers.mjs PEER ENCODING SECONDS FILE…
// A line of JSON each: the file, its bytes, its tokens, the SHA-256 of the ids as text, and the median seconds of one encoding (CPU time).
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const require = createRequire(join(process.cwd(), "peers.mjs"));
const [peer, encoding, seconds, ...files] = process.argv.slice(2);

function encoder() {
  if (peer === "tiktoken") {
    const reference = require("tiktoken").get_encoding(encoding);
    return (text) => reference.encode_ordinary(text);
  }
  const { encode } = require(`gpt-tokenizer/encoding/${encoding}`);
  return (text) => encode(text, { disallowedSpecial: new Set() });
}

const cpu = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

const encode = encoder();
for (const file of files) {
  const text = readFileSync(file, "utf8");
  let ids = encode(text.slice(0, 50_000)); // what is compiled and cached on first use
  const times = [];
  for (const end = cpu() + Number(seconds); times.length < 3 || cpu() < end; ) {
    const from = cpu();
    ids = encode(text);
    times.push(cpu() - from);
  }
  times.sort((a, b) => a - b);
  const sha256 = createHash("sha256").update(Array.from(ids).join(" ")).digest("hex");
  console.log(JSON.stringify({ file, bytes: Buffer.byteLength(text), tokens: ids.length, sha256, encode_s: times[times.length >> 1] }));
}
