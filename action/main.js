"use strict";
require("./start.js")("main");
