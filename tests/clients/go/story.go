// What an ordinary application does by opensearch-go: every answer as a line of JSON. Arguments: URL, index; `sniff`
// lets the client ask for the nodes and use only those.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opensearch-project/opensearch-go/v4"
	"github.com/opensearch-project/opensearch-go/v4/opensearchapi"
	"github.com/opensearch-project/opensearch-go/v4/opensearchutil"
)

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func tell(values ...any) { fmt.Println(string(must(json.Marshal(values)))) }

func hits(found []opensearchapi.SearchHit) []string {
	var told []string
	for _, hit := range found {
		told = append(told, hit.ID+" "+string(hit.Source))
	}
	return told
}

func failure(err error) (int, string) {
	var told *opensearch.StructError
	if !errors.As(err, &told) {
		return 0, fmt.Sprint(err)
	}
	return told.Status, told.Err.Type
}

func main() {
	ctx := context.Background()
	index, sniff := os.Args[2], len(os.Args) > 3
	client := must(opensearchapi.NewClient(opensearchapi.Config{Client: opensearch.Config{
		Addresses: []string{os.Args[1]}, CompressRequestBody: true, DiscoverNodesOnStart: &sniff,
	}}))
	if sniff {
		if err := client.Client.DiscoverNodes(ctx); err != nil {
			must(0, err)
		}
	}
	tell(must(client.Info(ctx, nil)).Version.Number)
	settings := strings.NewReader(`{"settings":{"number_of_replicas":0}}`)
	tell(must(client.Indices.Create(ctx, opensearchapi.IndicesCreateReq{Index: index, Body: settings})).Acknowledged)

	indexer := must(opensearchutil.NewBulkIndexer(opensearchutil.BulkIndexerConfig{
		Client: client, Index: index, NumWorkers: 2, FlushBytes: 1000, Refresh: "true",
	}))
	for n := range 50 {
		document := must(json.Marshal(map[string]any{"n": n, "text": fmt.Sprintf("word %d é😀", n%7)}))
		item := opensearchutil.BulkIndexerItem{Action: "index", DocumentID: strconv.Itoa(n), Body: bytes.NewReader(document)}
		if err := indexer.Add(ctx, item); err != nil {
			must(0, err)
		}
	}
	if err := indexer.Close(ctx); err != nil {
		must(0, err)
	}
	stats := indexer.Stats()
	tell(stats.NumAdded, stats.NumFlushed, stats.NumFailed, stats.NumIndexed)

	search := func(body string) *opensearchapi.SearchResp {
		return must(client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index}, Body: strings.NewReader(body)}))
	}
	found := search(`{"query":{"range":{"n":{"gte":40}}},"sort":["n"],"size":3}`)
	tell(found.Hits.Total.Value, hits(found.Hits.Hits))
	tell(must(client.Indices.Count(ctx, &opensearchapi.IndicesCountReq{Indices: []string{index}})).Count)
	got := must(client.Document.Get(ctx, opensearchapi.DocumentGetReq{Index: index, DocumentID: "7"}))
	tell(got.Found, string(got.Source))
	several := must(client.MGet(ctx, opensearchapi.MGetReq{Index: index, Body: strings.NewReader(`{"ids":["1","none"]}`)}))
	tell(several.Docs[0].Found, several.Docs[1].Found)
	lines := fmt.Sprintf("{\"index\":%q}\n{\"size\":1,\"sort\":[\"n\"]}\n{\"index\":\"%s-none\"}\n{}\n", index, index)
	answers := must(client.MSearch(ctx, opensearchapi.MSearchReq{Body: strings.NewReader(lines)}))
	tell(answers.Responses[0].Status, hits(answers.Responses[0].Hits.Hits), answers.Responses[1].Status)

	var ids []string
	page := must(client.Search(ctx, &opensearchapi.SearchReq{
		Indices: []string{index}, Body: strings.NewReader(`{"size":7}`),
		Params: opensearchapi.SearchParams{Scroll: time.Minute},
	}))
	scroll := *page.ScrollID
	for found := page.Hits.Hits; len(found) > 0; {
		for _, hit := range found {
			ids = append(ids, hit.ID)
		}
		next := must(client.Scroll.Get(ctx, opensearchapi.ScrollGetReq{
			ScrollID: scroll, Params: opensearchapi.ScrollGetParams{Scroll: time.Minute},
		}))
		scroll, found = *next.ScrollID, next.Hits.Hits
	}
	slices.Sort(ids)
	tell(ids)
	tell(must(client.Scroll.Delete(ctx, opensearchapi.ScrollDeleteReq{ScrollIDs: []string{scroll}})).Succeeded)

	pit := must(client.PointInTime.Create(ctx, opensearchapi.PointInTimeCreateReq{
		Indices: []string{index}, Params: opensearchapi.PointInTimeCreateParams{KeepAlive: time.Minute},
	}))
	over := fmt.Sprintf(`{"size":2,"sort":["n"],"pit":{"id":%q,"keep_alive":"1m"}}`, pit.PitID)
	tell(hits(must(client.Search(ctx, &opensearchapi.SearchReq{Body: strings.NewReader(over)})).Hits.Hits))
	ended := must(client.PointInTime.Delete(ctx, opensearchapi.PointInTimeDeleteReq{PitID: []string{pit.PitID}}))
	tell(ended.Pits[0].Successful, ended.Pits[0].PitID == pit.PitID)

	tell(must(client.Update(ctx, opensearchapi.UpdateReq{
		Index: index, DocumentID: "1", Body: strings.NewReader(`{"doc":{"n":-1}}`),
	})).Result)
	_, err := client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index + "-none"}})
	status, kind := failure(err)
	tell(status, kind)
	_, err = client.Search(ctx, &opensearchapi.SearchReq{Indices: []string{index}, Body: strings.NewReader(`{"query":{"nope":{}}}`)})
	status, kind = failure(err)
	tell(status, kind)
	tell(must(client.Indices.Delete(ctx, opensearchapi.IndicesDeleteReq{Indices: []string{index}})).Acknowledged)
}
