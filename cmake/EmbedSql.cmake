# Writes the migrations into a C file, so that the program carries them.
#
#   cmake -DINPUTS="schema/0001_first.sql;schema/0002_more.sql" -DOUTPUT=migrations.c -P cmake/EmbedSql.cmake
#
# makes `const Migration migrations[]` and `const size_t migration_count` (store/migrations.h), with -DPREFIX=postgres_
# `postgres_migrations` and `postgres_migration_count`. A file NNNN_name.sql is version NNNN; versions must be 1, 2, 3, …
# in the order given.

if(NOT INPUTS OR NOT OUTPUT)
    message(FATAL_ERROR "usage: cmake -DINPUTS=\"a.sql;b.sql\" -DOUTPUT=x.c [-DPREFIX=x_] -P EmbedSql.cmake")
endif()

set(rows "")
set(version 0)
foreach(input IN LISTS INPUTS)
    math(EXPR version "${version} + 1")
    get_filename_component(file "${input}" NAME)
    if(NOT file MATCHES "^([0-9][0-9][0-9][0-9])_([a-z0-9_]+)[.]sql$")
        message(FATAL_ERROR "${file} is not named NNNN_name.sql")
    endif()
    set(digits "${CMAKE_MATCH_1}")
    set(name "${CMAKE_MATCH_2}")
    string(REGEX REPLACE "^0+" "" digits "${digits}")
    if(NOT digits EQUAL version)
        message(FATAL_ERROR "${file} stands where version ${version} is due")
    endif()
    # As one text and never as a list, or its semicolons would vanish.
    file(READ "${input}" text)
    string(REPLACE "\\" "\\\\" text "${text}")
    string(REPLACE "\"" "\\\"" text "${text}")
    string(REPLACE "\n" "\\n\"\n     \"" text "${text}")
    string(APPEND rows "    {${version}, \"${name}\",\n     \"${text}\"},\n")
endforeach()

file(WRITE "${OUTPUT}.new"
    "/* Made by cmake/EmbedSql.cmake from files NNNN_name.sql. */\n"
    "#include \"store/migrations.h\"\n\n"
    "const Migration ${PREFIX}migrations[] = {\n${rows}};\n"
    "const size_t ${PREFIX}migration_count = sizeof(${PREFIX}migrations) / sizeof(${PREFIX}migrations[0]);\n")
file(RENAME "${OUTPUT}.new" "${OUTPUT}")
