// The partner of sources.py: UDFs in Node.js. First line of input: document and UDFs; then a line a round.
const readline = require("node:readline");

const functions = {};
let text;

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  if (text === undefined) {
    const { document, udfs } = JSON.parse(line);
    text = document;
    for (const [name, source] of Object.entries(udfs)) functions[name] = eval(`(() => {${source}; return process })()`);
    return;
  }
  const space = line.indexOf(" ");
  const count = Number(line.slice(0, space));
  const udf = functions[line.slice(space + 1)];
  const start = process.cpuUsage();
  for (let i = 0; i < count; i++) JSON.stringify(udf(JSON.parse(text), {}));
  const used = process.cpuUsage(start);
  console.log(String(((used.user + used.system) * 1000) / count));
});
