// What an ordinary application does by opensearch-java and by the low-level client: every answer as a line.
// Arguments: URL, index; `sniff` lets the low-level client ask for the nodes and use only those.

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.hc.core5.http.HttpHost;
import org.apache.hc.core5.http.io.entity.EntityUtils;
import org.apache.hc.core5.util.Timeout;
import org.opensearch.client.Node;
import org.opensearch.client.Request;
import org.opensearch.client.ResponseException;
import org.opensearch.client.RestClient;
import org.opensearch.client.opensearch.OpenSearchClient;
import org.opensearch.client.opensearch._types.FieldValue;
import org.opensearch.client.opensearch._types.OpenSearchException;
import org.opensearch.client.opensearch._types.Refresh;
import org.opensearch.client.opensearch._types.SortOrder;
import org.opensearch.client.opensearch._types.Time;
import org.opensearch.client.opensearch.core.BulkRequest;
import org.opensearch.client.opensearch.core.SearchResponse;
import org.opensearch.client.opensearch.core.search.Pit;
import org.opensearch.client.sniff.OpenSearchNodesSniffer;
import org.opensearch.client.transport.httpclient5.ApacheHttpClient5TransportBuilder;

public class Story {
    private static void tell(Object value) {
        System.out.println(value);
    }

    public static void main(String[] arguments) throws Exception {
        HttpHost host = HttpHost.create(arguments[0]);
        if (arguments.length > 2) {
            host = sniffed(host);
        }
        application(host, arguments[1]);
        lowLevel(host, arguments[1]);
    }

    private static HttpHost sniffed(HttpHost host) throws IOException {
        try (RestClient client = RestClient.builder(host).build()) {
            List<Node> nodes = new OpenSearchNodesSniffer(client).sniff();
            HttpHost found = nodes.get(0).getHost();
            if (found.getPort() != host.getPort()) {
                throw new IllegalStateException("the nodes are at " + found + ", not at " + host);
            }
            return found;
        }
    }

    private static void application(HttpHost host, String index) throws Exception {
        var transport = ApacheHttpClient5TransportBuilder.builder(host).setCompressionEnabled(true).build();
        OpenSearchClient client = new OpenSearchClient(transport);
        tell(client.info().version().number());
        tell(client.indices().create(c -> c.index(index).settings(s -> s.numberOfReplicas(0))).acknowledged());
        BulkRequest.Builder bulk = new BulkRequest.Builder().refresh(Refresh.True);
        for (int n = 0; n < 50; n++) {
            String id = String.valueOf(n);
            Map<String, Object> document = Map.of("n", n, "text", "word " + n % 7 + " é😀");
            bulk.operations(o -> o.index(i -> i.index(index).id(id).document(document)));
        }
        var written = client.bulk(bulk.build());
        tell(written.errors() + " " + written.items().size() + " " + written.items().get(7).id());
        SearchResponse<Map> found = client.search(
            s -> s.index(index).size(3).sort(o -> o.field(f -> f.field("n").order(SortOrder.Desc)))
                .query(q -> q.match(m -> m.field("text").query(FieldValue.of("word")))),
            Map.class);
        tell(found.hits().total().value());
        found.hits().hits().forEach(hit -> tell(hit.id() + " " + new java.util.TreeMap<>(hit.source())));
        tell(client.count(c -> c.index(index)).count());
        tell(client.get(g -> g.index(index).id("7"), Map.class).source().get("text"));
        tell(client.mget(m -> m.index(index).ids("1", "none"), Map.class).docs().stream().map(d -> d.result().found()).toList());
        tell(client.exists(e -> e.index(index).id("none")).value());
        var several = client.msearch(
            m -> m.searches(s -> s.header(h -> h.index(List.of(index))).body(b -> b.size(1)))
                .searches(s -> s.header(h -> h.index(List.of(index + "-none"))).body(b -> b.size(1))),
            Map.class);
        several.responses().forEach(each -> tell(each.isFailure() ? each.failure().status() : each.result().hits().total().value()));
        tell(scrolled(client, index));
        var pit = client.createPit(c -> c.index(List.of(index)).keepAlive(Time.of(t -> t.time("1m"))));
        tell(client.search(s -> s.size(2).pit(new Pit.Builder().id(pit.pitId()).keepAlive("1m").build()), Map.class).hits().total().value());
        tell(client.deletePit(d -> d.pitId(List.of(pit.pitId()))).pits().get(0).successful());
        tell(client.update(u -> u.index(index).id("1").doc(Map.of("n", -1)).refresh(Refresh.True), Map.class).result());
        tell(client.deleteByQuery(d -> d.index(index).query(q -> q.term(t -> t.field("n").value(FieldValue.of(3))))).deleted());
        try {
            client.search(s -> s.index(index + "-none"), Map.class);
        } catch (OpenSearchException error) {
            tell(error.status() + " " + error.error().type());
        }
        transport.close();
    }

    private static List<String> scrolled(OpenSearchClient client, String index) throws IOException {
        TreeSet<String> ids = new TreeSet<>();
        SearchResponse<Map> page = client.search(s -> s.index(index).size(7).scroll(t -> t.time("1m")), Map.class);
        while (!page.hits().hits().isEmpty()) {
            page.hits().hits().forEach(hit -> ids.add(hit.id()));
            String id = page.scrollId();
            page = client.scroll(s -> s.scrollId(id).scroll(t -> t.time("1m")), Map.class);
        }
        String id = page.scrollId();
        client.clearScroll(c -> c.scrollId(List.of(id)));
        return new ArrayList<>(ids);
    }

    private static void lowLevel(HttpHost host, String index) throws Exception {
        var builder = RestClient.builder(host)
            .setCompressionEnabled(true)
            .setRequestConfigCallback(c -> c.setResponseTimeout(Timeout.ofSeconds(30)));
        try (RestClient client = builder.build()) {
            Request search = new Request("GET", index + "/_search");
            search.addParameter("filter_path", "hits.total");
            search.setJsonEntity("{\"query\":{\"range\":{\"n\":{\"gte\":40}}}}");
            tell(EntityUtils.toString(client.performRequest(search).getEntity()));
            Request settings = new Request("GET", "/" + index + "/_settings/index.number_of_replicas");
            settings.addParameter("flat_settings", "true");
            tell(EntityUtils.toString(client.performRequest(settings).getEntity()));
            try {
                client.performRequest(new Request("GET", index + "/_doc/none"));
            } catch (ResponseException error) {
                tell(error.getResponse().getStatusLine().getStatusCode());
            }
            tell(client.performRequest(new Request("DELETE", index)).getStatusLine().getStatusCode());
        }
    }
}
