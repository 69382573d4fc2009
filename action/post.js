"use strict";
require("./start.js")("post");
