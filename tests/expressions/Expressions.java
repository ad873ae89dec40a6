import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;
import org.opensearch.grok.Grok;
import org.opensearch.grok.MatcherWatchdog;

/**
 * What Java's regular expressions or OpenSearch's grok make of patterns and texts: reads lines of two fields in base64 and answers
 * each with a line of fields in base64, the first of which says how it went: ok, none, bad (refused), weird (an error of theirs).
 */
public class Expressions {
    static final ScheduledExecutorService CLOCK = Executors.newSingleThreadScheduledExecutor(task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        return thread;
    });
    /** Milliseconds between two looks, and that a match of Joni may take: some would never end. */
    static final MatcherWatchdog WATCHDOG = MatcherWatchdog.newInstance(
        20, 400, System::currentTimeMillis, (delay, task) -> CLOCK.schedule(task, delay, TimeUnit.MILLISECONDS));

    public static void main(String[] args) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
        for (String line; (line = in.readLine()) != null; ) {
            String[] fields = line.split("\t", -1);
            String pattern = decoded(fields[0]);
            String text = decoded(fields[1]);
            String answer;
            try {
                answer = args[0].equals("java") ? java(pattern, text) : grok(pattern, text);
            } catch (PatternSyntaxException e) {
                answer = "bad";
            } catch (RuntimeException | StackOverflowError e) {
                boolean interrupted = String.valueOf(e.getMessage()).contains("interrupted");
                answer = args[0].equals("java") || interrupted ? "weird" : "bad";
            }
            out.println(answer);
        }
        out.flush();
    }

    /** The text with every match and its groups in angle brackets, and its parts between matches. */
    static String java(String pattern, String text) {
        Pattern compiled = Pattern.compile(pattern);
        Matcher matcher = compiled.matcher(text);
        StringBuilder marked = new StringBuilder();
        int last = 0;
        while (matcher.find()) {
            marked.append(text, last, matcher.start()).append('<');
            last = matcher.end();
            for (int group = 0; group <= matcher.groupCount(); group++) {
                String found = matcher.group(group);
                marked.append(group == 0 ? "" : ";").append(found == null ? "" : found);
            }
            marked.append('>');
        }
        StringBuilder answer = new StringBuilder("ok\t" + encoded(marked + text.substring(last)));
        for (String part : compiled.split(text)) {
            answer.append('\t').append(encoded(part));
        }
        return answer.toString();
    }

    /** The fields, each as name and value. */
    static String grok(String pattern, String text) {
        Map<String, Object> found = new Grok(Grok.BUILTIN_PATTERNS, pattern, WATCHDOG, message -> {}).captures(text);
        if (found == null) {
            return "none";
        }
        StringBuilder answer = new StringBuilder("ok");
        for (Map.Entry<String, Object> field : new TreeMap<>(found).entrySet()) {
            answer.append('\t').append(encoded(field.getKey())).append('\t').append(encoded(field.getValue().toString()));
        }
        return answer.toString();
    }

    static String decoded(String field) {
        return new String(Base64.getDecoder().decode(field), StandardCharsets.UTF_8);
    }

    static String encoded(String text) {
        return Base64.getEncoder().encodeToString(text.getBytes(StandardCharsets.UTF_8));
    }
}
