/* The field tables of the operations, for operations.c alone: everybody else finds them by operation_row(). */
#pragma once

#include "base/fields.h"

/* Requests, over struct Command (commands.c). */
extern const FieldTable request_stack_command, join_request_command, renew_lease_command,
    set_last_deployed_commit_command, release_stack_command, cancel_request_command, list_stacks_command,
    delete_last_stack_command, list_queue_command, list_events_command, change_stack_command, annotate_stack_command,
    force_release_stack_command, create_project_command, update_project_command, list_projects_command, project_command,
    create_key_command, import_key_command, revoke_key_command, backup_command;

/* 200 answers, over struct Answer; of lists, over struct ListPage (answers.c). */
extern const FieldTable granted_answer, renewed_answer, message_answer, cancelled_answer, project_created_answer,
    key_created_answer, key_imported_answer, stack_page, queue_page, event_page, project_page, key_page;
