/* Field ABI: keeps a document whose number in the field `field` is at least `minimum` (parameters of the stage). */
#include "headrace.h"

HEADRACE_EXPORT("filter") int filter(i64 ctx) {
    char field[128];
    int field_len = sizeof field;
    double minimum = 0, value = 0;
    if (get_param_string("field", 5, field, &field_len) != 0) __builtin_trap();
    get_param_f64("minimum", 7, &minimum);
    if (!get_field_f64(ctx, field, field_len, &value)) {
        headrace_log(3, "the field is absent", 19);
        return 0;
    }
    return value >= minimum;
}
