# One layer: a static library and the include path that goes with it.
#
#   so_layer(lease SEES base protocol SOURCES decide.c state.c LIBRARIES PkgConfig::SOMETHING DEFINITIONS A=1)
#
# makes so_lease, compiled with one include path of ours, <build>/include/lease, a folder of links:
#
#   <build>/include/lease/base     -> base/
#   <build>/include/lease/protocol -> protocol/
#   <build>/include/lease/lease    -> coordinator/lease/
#
# so `#include "base/buffer.h"` works there and `#include "store/store.h"` does not compile. A layer sees what its
# SEES see too. LIBRARIES are foreign ones; their headers are for this layer alone (tests/layers checks it).

function(so_layer layer)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SEES;SOURCES;LIBRARIES;DEFINITIONS")

    set(visible ${layer} ${arg_SEES})
    foreach(lower IN LISTS arg_SEES)
        get_property(below GLOBAL PROPERTY so_visible_${lower})
        if(NOT below)
            message(FATAL_ERROR "layer ${layer} sees ${lower}, which is not declared before it")
        endif()
        list(APPEND visible ${below})
    endforeach()
    list(REMOVE_DUPLICATES visible)
    set_property(GLOBAL PROPERTY so_visible_${layer} ${visible})
    set_property(GLOBAL PROPERTY so_folder_${layer} "${CMAKE_CURRENT_SOURCE_DIR}")

    set(links "${CMAKE_BINARY_DIR}/include/${layer}")
    file(REMOVE_RECURSE "${links}")
    file(MAKE_DIRECTORY "${links}")
    foreach(name IN LISTS visible)
        get_property(folder GLOBAL PROPERTY so_folder_${name})
        file(CREATE_LINK "${folder}" "${links}/${name}" SYMBOLIC)
    endforeach()

    list(TRANSFORM arg_SEES PREPEND so_ OUTPUT_VARIABLE lower_libraries)
    add_library(so_${layer} STATIC ${arg_SOURCES})
    target_include_directories(so_${layer} PRIVATE "${links}")
    target_compile_definitions(so_${layer} PRIVATE ${arg_DEFINITIONS})
    target_link_libraries(so_${layer} PUBLIC ${lower_libraries} PRIVATE ${arg_LIBRARIES})
endfunction()

# A program: main.c over a layer's library.
function(so_program name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "LAYER" "SOURCES")
    add_executable(${name} ${arg_SOURCES})
    target_include_directories(${name} PRIVATE "${CMAKE_BINARY_DIR}/include/${arg_LAYER}")
    target_link_libraries(${name} PRIVATE so_${arg_LAYER})
    install(TARGETS ${name} RUNTIME)
    if(NOT CMAKE_CROSSCOMPILING)
        so_install_words(${name} man man/man1 ${name}.1)
        so_install_words(${name} "completion;bash" bash-completion/completions ${name})
        so_install_words(${name} "completion;zsh" zsh/site-functions _${name})
        so_install_words(${name} "completion;fish" fish/vendor_completions.d ${name}.fish)
    endif()
endfunction()

# What the program itself says becomes a file below share/.
function(so_install_words name words folder file)
    install(CODE "
        set(folder \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share/${folder}\")
        message(STATUS \"Installing: \${folder}/${file}\")
        file(MAKE_DIRECTORY \"\${folder}\")
        execute_process(COMMAND $<TARGET_FILE:${name}> ${words} OUTPUT_FILE \"\${folder}/${file}\"
                        COMMAND_ERROR_IS_FATAL ANY)")
endfunction()
