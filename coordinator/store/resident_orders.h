/* The orders one project's rows lie in. Private to the resident rows: what others look for is in resident.h. */
#pragma once

#include "store/resident.h"

void resident_init_orders(ResidentProject *project);
void resident_enter_stack(ResidentProject *project, ResidentStack *stack);
void resident_leave_stack(ResidentProject *project, ResidentStack *stack);
void resident_enter_request(ResidentProject *project, ResidentRequest *request);
void resident_leave_request(ResidentProject *project, ResidentRequest *request);
const ResidentStack *resident_stack(const ResidentProject *project, int64_t number);
