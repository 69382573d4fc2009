# How every file is compiled: language, warnings, hardening, sanitizers.

set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF) # -std=c17; what we need of POSIX and Linux comes by _GNU_SOURCE
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo or MinSizeRel" FORCE)
endif()
# CMake's own flags have -DNDEBUG; here assertions stay in what is shipped.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_MINSIZEREL "-Os")

add_compile_definitions(_GNU_SOURCE)
add_compile_options(
    -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wswitch-enum -Wformat=2 -Wconversion
    $<$<C_COMPILER_ID:GNU>:-Wjump-misses-init> # a jump past an owned local would free garbage
    -fstack-protector-strong
    -fmacro-prefix-map=${CMAKE_SOURCE_DIR}/= # assertions print paths of the project, not of the building machine
)

if(FAILPOINTS)
    add_compile_definitions(FAILPOINTS)
endif()

if(FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "FUZZ needs clang: -DCMAKE_C_COMPILER=clang")
    endif()
    if(SANITIZE)
        message(FATAL_ERROR "FUZZ chooses its sanitizers itself: leave SANITIZE empty")
    endif()
    set(sanitizers "address,undefined")
    add_compile_options(-fsanitize=fuzzer-no-link)
else()
    set(sanitizers "${SANITIZE}")
endif()

# With -O1 and line numbers alone gcc compiles a sanitized file in half the time, but warns of what cannot be.
if(SANITIZE)
    set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O1 -g1")
elseif(WERROR)
    add_compile_options(-Werror)
endif()

if(sanitizers)
    if(NOT sanitizers MATCHES "^(address|undefined|thread|address,undefined)$")
        message(FATAL_ERROR "SANITIZE=${SANITIZE} is not one of address, undefined, thread, address,undefined")
    endif()
    add_compile_options(-fsanitize=${sanitizers} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${sanitizers})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2) # needs optimization; sanitizers do its work better
endif()
