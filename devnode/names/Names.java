import java.io.PrintStream;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.Method;
import java.time.format.DateTimeFormatter;
import java.time.format.TextStyle;
import java.time.temporal.ChronoField;
import java.time.temporal.IsoFields;
import java.time.temporal.TemporalField;
import java.time.temporal.WeekFields;
import java.time.zone.ZoneRulesProvider;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

/** Prints the names that java.time has in every language, with all fallbacks between languages made, and what names of zones mean. */
public class Names {
    private static final String PACKAGE = "java.time.format.";
    private static final List<String> groups = new ArrayList<>();
    private static final Map<String, Integer> numbers = new HashMap<>();

    private final Class<?> provider = Class.forName(PACKAGE + "DateTimeTextProvider");
    private final Object texts = method(provider, "getInstance").invoke(null);
    private final Method text = method(provider, "getText", TemporalField.class, long.class, TextStyle.class, Locale.class);
    private final Method resource = method(provider, "getLocalizedResource", String.class, Locale.class);
    private final Class<?> period = Class.forName(PACKAGE + "DateTimeFormatterBuilder$DayPeriod");
    private final Method periods = method(period, "getDayPeriodMap", Locale.class);
    private final Method periodNames =
        method(Class.forName(PACKAGE + "DateTimeFormatterBuilder$DayPeriodPrinterParser"), "findDayPeriodStore", Locale.class);
    private final Method periodName =
        method(Class.forName(PACKAGE + "DateTimeTextProvider$LocaleStore"), "getText", long.class, TextStyle.class);
    private final Class<?> zoneText = Class.forName(PACKAGE + "DateTimeFormatterBuilder$ZoneTextPrinterParser");
    private final Method zoneTree = method(zoneText, "getTree", Class.forName(PACKAGE + "DateTimeParseContext"));
    private final Method zoneName = method(zoneText, "getDisplayName", String.class, int.class, Locale.class);
    private final Class<?> tree = Class.forName(PACKAGE + "DateTimeFormatterBuilder$PrefixTree");
    private final Object[] zoneStyles = {zoneStyle(TextStyle.FULL), zoneStyle(TextStyle.SHORT)};

    private Names() throws ReflectiveOperationException {}

    public static void main(String[] arguments) throws Exception {
        Names names = new Names();
        names.printLocales(new PrintStream(arguments[0], "UTF-8"));
        names.printZones(new PrintStream(arguments[1], "UTF-8"));
    }

    private static Method method(Class<?> of, String name, Class<?>... parameters) throws ReflectiveOperationException {
        Method method = of.getDeclaredMethod(name, parameters);
        method.setAccessible(true);
        return method;
    }

    private static Object field(Class<?> of, Object object, String name) throws ReflectiveOperationException {
        Field field = of.getDeclaredField(name);
        field.setAccessible(true);
        return field.get(object);
    }

    private static Object made(Class<?> of, Object... arguments) throws ReflectiveOperationException {
        Constructor<?> constructor = of.getDeclaredConstructors()[0];
        constructor.setAccessible(true);
        return constructor.newInstance(arguments);
    }

    private Object zoneStyle(TextStyle style) throws ReflectiveOperationException {
        return made(zoneText, style, null, false);
    }

    /** Languages, alone and with the countries that something is known of. */
    private static TreeSet<String> locales() {
        TreeSet<String> names = new TreeSet<>(List.of(""));
        for (Locale locale : Locale.getAvailableLocales()) {
            if (locale.getScript().isEmpty() && locale.getVariant().isEmpty() && !locale.getCountry().matches("\\d+")) {
                names.add(locale.toString());
            }
        }
        for (String language : Locale.getISOLanguages()) {
            names.add(Locale.of(language).toString());
        }
        return names;
    }

    private static Locale locale(String name) {
        String[] parts = name.split("_");
        return Locale.of(parts[0], parts.length > 1 ? parts[1] : "");
    }

    /** The number of a group of names, in base 36. */
    private static String group(List<String> names) {
        String joined = String.join("|", names);
        Integer number = numbers.computeIfAbsent(joined, key -> {
            groups.add(key);
            return groups.size() - 1;
        });
        return Integer.toString(number, 36);
    }

    private String group(TemporalField field, long from, long to, TextStyle style, Locale locale) throws ReflectiveOperationException {
        List<String> names = new ArrayList<>();
        for (long value = from; value <= to; value++) {
            String name = (String) text.invoke(texts, field, value, style, locale);
            names.add(name == null ? "" : name);
        }
        return group(names);
    }

    private void printLocales(PrintStream out) throws ReflectiveOperationException {
        TextStyle[] plain = {TextStyle.FULL, TextStyle.SHORT, TextStyle.NARROW};
        for (String name : locales()) {
            Locale locale = locale(name);
            WeekFields weeks = WeekFields.of(locale);
            List<String> row = new ArrayList<>();
            row.add(name);
            row.add("" + weeks.getFirstDayOfWeek().getValue() + weeks.getMinimalDaysInFirstWeek());
            for (TextStyle style : TextStyle.values()) row.add(group(ChronoField.MONTH_OF_YEAR, 1, 12, style, locale));
            for (TextStyle style : TextStyle.values()) row.add(group(ChronoField.DAY_OF_WEEK, 1, 7, style, locale));
            for (TextStyle style : TextStyle.values()) row.add(group(IsoFields.QUARTER_OF_YEAR, 1, 4, style, locale));
            for (TextStyle style : plain) row.add(group(ChronoField.ERA, 0, 1, style, locale));
            for (TextStyle style : plain) row.add(group(ChronoField.AMPM_OF_DAY, 0, 1, style, locale));
            row.add(rules(locale));
            Object store = periodNames.invoke(null, locale);
            for (TextStyle style : plain) {
                List<String> names = new ArrayList<>();
                for (long value = 0; value < 12; value++) {
                    String found = (String) periodName.invoke(store, value, style);
                    names.add(found == null ? "" : found);
                }
                row.add(group(names));
            }
            String greenwich = (String) resource.invoke(null, "timezone.gmtZeroFormat", locale);
            row.add(group(List.of(greenwich == null ? "GMT" : greenwich)));
            out.println(String.join("\t", row));
        }
        out.println("--");
        groups.forEach(out::println);
        out.println("--");
        out.println(String.join(" ", Locale.getISOLanguages()));
        List<String> countries = new ArrayList<>();
        for (String country : Locale.getISOCountries()) {
            WeekFields weeks = WeekFields.of(Locale.of("en", country));
            countries.add(country + weeks.getFirstDayOfWeek().getValue() + weeks.getMinimalDaysInFirstWeek());
        }
        out.println(String.join(" ", countries));
        out.close();
    }

    /** Parts of the day: index, first minute, last minute. */
    private String rules(Locale locale) throws ReflectiveOperationException {
        TreeSet<String> rules = new TreeSet<>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) periods.invoke(null, locale)).entrySet()) {
            Object from = field(period, entry.getKey(), "from");
            Object to = field(period, entry.getKey(), "to");
            rules.add(String.format("%02d:%04d:%04d", entry.getValue(), from, to));
        }
        return group(new ArrayList<>(rules));
    }

    private void printZones(PrintStream out) throws ReflectiveOperationException {
        for (String id : new TreeSet<>(ZoneRulesProvider.getAvailableZoneIds())) {
            List<String> row = new ArrayList<>(List.of(id));
            for (Object style : zoneStyles) {
                for (int kind = 0; kind < 3; kind++) {
                    String name = (String) zoneName.invoke(style, id, kind, Locale.ROOT);
                    row.add(name == null ? "" : name);
                }
            }
            out.println(String.join("\t", row));
        }
        out.println("--");
        Map<Map<String, String>, List<String>> tables = new LinkedHashMap<>();
        for (String name : locales()) {
            Object context = made(Class.forName(PACKAGE + "DateTimeParseContext"), DateTimeFormatter.ofPattern("z", locale(name)));
            for (Object style : zoneStyles) {
                Map<String, String> meant = new TreeMap<>();
                walk(zoneTree.invoke(style, context), "", meant);
                tables.computeIfAbsent(meant, key -> new ArrayList<>()).add(name + (style == zoneStyles[0] ? "+F" : "+S"));
            }
        }
        tables.forEach((meant, names) -> {
            out.println("== " + String.join(" ", names));
            meant.forEach((name, id) -> out.println(name + "\t" + id));
        });
        out.close();
    }

    private void walk(Object node, String prefix, Map<String, String> into) throws ReflectiveOperationException {
        for (; node != null; node = field(tree, node, "sibling")) {
            String key = prefix + field(tree, node, "key");
            Object value = field(tree, node, "value");
            if (value != null) into.put(key, (String) value);
            walk(field(tree, node, "child"), key, into);
        }
    }
}
