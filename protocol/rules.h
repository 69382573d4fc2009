/*
 * What single fields may hold; one place for coordinator and agent. Each check returns NULL when right, else the rest of
 * a sentence: "must not hold control characters". `s` is never absent. What a rule says nothing about (most lengths) the
 * field's row bounds, with the numbers of base/limits.h.
 */
#pragma once

#include "base/slice.h"

const char *rule_branch(Slice s);     /* UTF-8 without C0, DEL, C1 control characters; length by the field's bounds */
const char *rule_commit(Slice s);     /* printable ASCII without blanks */
const char *rule_project(Slice s);    /* [a-z0-9-]{1,63} */
const char *rule_prefix(Slice s);     /* [A-Za-z][A-Za-z0-9._-]{0,62}, not ending in a digit */
const char *rule_request_id(Slice s); /* [A-Za-z0-9._:-]{16,128} */
const char *rule_stack_name(Slice s); /* the characters that prefix and number can make: [A-Za-z][A-Za-z0-9._-]* */
const char *rule_one_line(Slice s);   /* UTF-8 without control characters: notes, labels, reasons, holder texts */
const char *rule_link(Slice s);       /* http:// or https://, printable ASCII without blanks */
const char *rule_path(Slice s);       /* an absolute path of this machine */
const char *rule_key_text(Slice s);   /* printable ASCII without blanks, since it travels in a header */
const char *rule_key_id(Slice s);     /* [a-z0-9]+ */
