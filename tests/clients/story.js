// What an ordinary application does by opensearch-js: every answer as a line of JSON. Arguments: URL, index.
const { Client } = require("@opensearch-project/opensearch");

const [, , node, index] = process.argv;
const volatile = new Set(["took", "_seq_no", "_primary_term", "_scroll_id", "_shards"]);
const stable = (value) =>
  Array.isArray(value)
    ? value.map(stable)
    : value && typeof value === "object"
      ? Object.fromEntries(
          Object.entries(value)
            .filter(([key]) => !volatile.has(key))
            .map(([key, each]) => [key, stable(each)]),
        )
      : value;
const tell = (value) => console.log(JSON.stringify(stable(value)));

async function main() {
  const client = new Client({ node, compression: "gzip", sniffOnStart: process.argv[4] === "sniff" });
  tell((await client.info()).body.version.number);
  tell((await client.indices.create({ index, body: { settings: { number_of_replicas: 0 } } })).body);
  const documents = Array.from({ length: 50 }, (_, n) => ({ id: String(n), n, text: `word ${n % 7} é😀` }));
  const bulk = await client.helpers.bulk({
    datasource: documents,
    onDocument: (document) => ({ index: { _index: index, _id: document.id } }),
    refreshOnCompletion: true,
    flushBytes: 1000,
  });
  tell([bulk.total, bulk.successful, bulk.failed]);
  tell((await client.search({ index, body: { query: { range: { n: { gte: 40 } } }, sort: ["n"], size: 3 } })).body);
  tell((await client.search({ index, q: "text:word", size: 1, sort: "n:desc" })).body);
  tell((await client.count({ index })).body);
  tell((await client.get({ index, id: "7" })).body);
  tell((await client.mget({ index, body: { ids: ["1", "none"] } })).body);
  tell((await client.msearch({ body: [{ index }, { size: 1, sort: ["n"] }, { index: "none" }, {}] })).body);
  const ids = [];
  for await (const hit of client.helpers.scrollDocuments({ index, body: { size: 7 } })) ids.push(hit.id);
  tell(ids.sort());
  tell((await client.update({ index, id: "1", body: { doc: { n: -1 } }, refresh: true })).body);
  tell((await client.deleteByQuery({ index, body: { query: { term: { n: 3 } } } })).body.deleted);
  try {
    await client.get({ index, id: "none" });
  } catch (error) {
    tell([error.name, error.statusCode]);
  }
  try {
    await client.search({ index, body: { query: { nope: {} } } });
  } catch (error) {
    tell([error.name, error.statusCode, error.body.error.type]);
  }
  tell((await client.indices.delete({ index })).body);
  await client.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
