"""Short sounds by encoders that the tests have not: tones, compressed, as text."""

import base64
import zlib

_TEXTS = {
    # mpcenc --quality 3, 440 Hz, mono, 0.15 s
    "mpc": (
        r"c-jGZ28Q`fP(w>oNDY`LoQVjtR{#+UQb!B{0000000000MM(#N0UiNUPY8@m0000%P>e+QI^Ax&ZEo9skU=DpN"
        r"hFdes4(~d!w>)jm;vP|6at_JPyhnZ237z?z$I7%F#{I>b-*2n8pH##0@#6nfA{~J_8;?`Y~Qs|JR5F-zr`}R+D"
        r"zoYF`0yAeoB!LtX#7gs3OL^gUgNBP@sWgfCl{!I<3fzv5kC(3gP#@|Jl>L7;ssd$xUB#!|o&R4F6!l1r52t<ld"
        r">n>Oq*1^u$5Fb*QJoQhxE)#I0co5XYcIxfE*t`~QE-USw^ah@@O2<A-`3h)KTX#P!efr1TDS#@buu(6v~rt=BS"
        r"ZTUdfamyD6E<&l0q|6lHBy4vs*8}H07<(omkd(5HY>dxV%>x4euM;^vrdmYIfTS>+G%=XyoWjEi~_J5nA6~;&^"
        r"wplYo$Gv8``4laOb%MtD*EMPhRh3a>ijl}*3lD*+q<#K;>vH`zT$F6Mznb6L@I+u!wcbEXgKFb$vX0+cXc?x62"
        r"%JtlW6*)2pMRP^>yCsmJOp=z-_j8(!}9j^`R=BB`IvPYxMd=N`x=3)*{H2_Y_-6Detyi;yyFG7FhAz)18!lL#N"
        r"iclIILle%Q=eOA&fC^CI#4n0X_HM{o7#om?tf*4FnRRTMG>K<wq7qJ!sa3mc`!MpvKl{v-WCG&c1Qgp&n_s)zJ"
        r"w_mO(_z`d|f5OI2+miP!Y7DDax%seL-gylDLdtcnkX`$Yb8eP5d-6{*^$_P?o2ViK;;{~&8E84XPe{iqNyDx0A"
        r"Ua+EvYZ*k;E5pzvVU-iI^b3xIwpF(1{vCntgG7a%x$Wr{*oc*~(uKl~iW-)87FZ&=CTWCqaDsUEt4*e?LxBeJM"
        r"Zd)yD7+iYUON-|3{$njGI~ir?lD6<R$e;g=$Ge$VSo}e`TmU4l01m|+wV^d7eSsMo<<T*6B6=En0NfR}1V1P(7"
        r"7y~>E~Af)2Oz4pvUN6MKt;g%6cjzMya*+@J7tjg!3I%$*n{c%B?b_^77)C{95!7?@p`C{M11HWY>12;dhnVjUN"
        r"C7YN<h`-lDGgn7Pr51M5u@nFrAU^XTn%Bn}A%?$C?rn8c+nIu&M!zsEtsYG7<DX2_S$~@r)fS=sg9W)CrL|6E<"
        r"UnMKXje<w!`PoL`UIh;11@K!-*`z{V$^0sCezgC-PwmMakxL=RFPz{%7A9lGPRkaK39aHt}obnpp}Tv>z4{T&k"
        r"&ut)_WpE2}f#UN_*@WrZ5xFsbNgb4ScPJ-id8L=v8Bibd$PuNox4wyHX<UnNmRD{<IZHNYxgBt0P6;I5v2VoAw"
        r"N2C%dh!hyc(||g0LjVVLwCg591XJdacWr?N7oN;0=v)m5sFyX#%Wf4g;>U*+xvl~JMJP0Wm-$^Aob)vW{l^m_W"
        r"*0J}#HCz_f&_t)6~Lt)IbgOe958n{#(>5Krb16pX$N}|12U8nESH-k8KeLJ{4v{IcAfYC`$cdohyZv27y@t%fJ"
        r"Fgd4Zw^Cz=Z-74=-alM!xz)6}*_mh`n+=ru9J(B7rxf&0Gk;#d2X=NZ)Wq#))`LoN%88mV`J5O=jH!0BrC{s*&"
        r"{uQY^v^-9b_nKL<#aV90sqh><mfu^##g&!1q_^Sy08h>nTVd)#@(1N2|jMyxI`b5|T3pi)tW1*t?`KYjP#XU$%"
        r")NnzBIF>S}I;qZ+Sv@aprhhq#AeDxz7^ZvT141-*Vzf}&lL@p#U;1Q;(J;K*NX;!uVO#lp!K@s6qUv_b)1tuy`"
        r"0O)=KB!z4L8ixXSvf`3tJXjvlqBI7$UMSUH`%pU=JUv-%9I$zA!qt^e>s9})0S)ophInqFFI0>(76#k@<{Wt%="
        r"0r6`#Rg;l|6!xRD}O8DM#{hP7<V=%1oI~4HIudf|I8dTXI}y7s+ar-xfa)Y&$a)U<)152v!UPoYznjg>;vGENh"
        r"FL60bo)<5(Op_1uh&4U?2)m4FZb=fkXrWMTY{FWCbb+B3QwbCQO+!WXY2zOqnud$&)5bnKER_lO{}=GGxf-{s5"
        r"p90)S8o0YE4P^Xeaf5C8w?)IR_p|NqaZ001BW2cJ*?06+i(;J7~kAOHW)sQv&y|Noy+002M$4?dy*0Du4<eMA5"
        r"O0000}R0aVOz*9v7y{+~x"
    ),
    # FFmpeg 5.1, 1 kHz, stereo, 0.03 s
    "thd": (
        r"c-pO&Sy0ng6o+p%WRr%lMp2?<D<B|YQy2^;1VKn6YY?%2MOlIb1f)o7iR_i7EV3iA7*G(3R3U67C}>cSt+I&{F"
        r"e>hVI9Tgw<JgDtVi_m*;oh11@H_XMZ|0jTcK<m3HaxTy03NK_6-ZZFtSZV=dh&Px+&9J17M=nCLrX8zI)u_4q4"
        r"77}F52tk(i{L<Lf8w68n>H6bI&(=$mds7-zRQ<atMRd*?IM0$>Y1!?3YRFIxzr5nYJRO5!$h79hBsN{$lpjbG4"
        r"(&EJOC)O(V=`U6UfoE+xjc3)rOaw5pgr9h$ME@d!p=LBXP5wY6H`ui^{`sy+Y^DT^9kru;neSuZVB$1j>PvG>J"
        r"2<Au{L^?o*EGn~xpkcDEUvGdHtYyVM8YvdG7T}jhI6gg75rjOWyfe&SH7zau!zb!o-YJXM)^m4>xK!yn4H9Sf$"
        r"+`3hAgBe9C)P3w%z28ZP{a}4p>CG|jlh`zVe+2eXr;>XT1=iq!jR{a0D7LuNGESV;E@NM6qE(g5+a53%Wl}-jk"
        r"7zPrK?KdT2v>^oL#*>sWsKp6uT7@{m{kKAL_>s?b-p%T2<Y#m{gy!llP`3!`g9>!E&ya8f(SvYp3#@mh2WiywB"
        r"LD%5b%`*R;E({XGutgY0H)`j4E5cus~VzmG+w{OTG{pCXg*(m{^v4#bmg=Ecvp?a1&Yb#ks-RUv%rvg{N@dziy"
        r"ot0|0mU?AGT}w<_FU`y{ea>6OTXU(w!WE6N|^cE|i#jHg;ACeqSA1`McxR}XMN!_T11P8yJ0>2<bqGvQ9FWf(V"
        r"bAw+WCX%e4tt73~q;euIQ@ZmplE*ss>&9w;LboNwD4r<Hf?38aW0^0!E+r;{C-Y2u3DuW+mNlsidS(Bm$JgE&Q"
        r"_r>u~p)u}`!jY3M%z4^S?Z9*v=IOol0!y>#rbTx`2*%;?kY=&-+af#j#%ae%tpKN+#paoVKwMr%f}e-*J2X6qi"
        r"au9*1Z~-J6vsQXtYu~4Mw~Ou8-5iPu9!!rI_@DMm?(4Wu5TE>?f99#yEc+5o*J6H+sn$m?6@JHzBhy-0oOPz5_"
        r"}NC6Ej_oG!I85P7F6z^&g@vc(_9RwtYUSEjT~3Gw$1T!}?&eNTEiiA<heT;a~zX7ZYYCc5`b-FL7QkOX#i5jF)"
        r"TsaieKyGW;z>u<<#rk7@cvuW>HbrRpaaT+u}6xfe>m^AEcei2`P8&UNjM5;SXtQ?CbYKOb&8Q-J7J;2Gf9)OtJ"
        r"D9(e_Qyf{c$RUOR($EXb?1P;QlsIqZOd#-{HJ!>M;zG}pF)epym&`1^uu?xbldOWj1$kAITNP)g*4D^qT(pF3y"
        r"qG|v#A`Bv^)g<e^#PV#Y1@J~xf}%vjkj2ZcV9J#!a(;;0n7;q#_bK_FbN9MhDtnr<%MAjvt&LJHPX=@kE7aw^V"
        r"-B`$_jI4Qn8X7%A9*B1fh@TqgtFv{n3E;fc@h#WORh*O*>Q!)NJy4k#Ux~kEV&{ZWXDzLh8+Jti=saNP_;V-r4"
        r"~haf3heW5Tq8BqZcY|U!$I$MeNmgmSY#=FYKxvzD;sOt86+DPrGh>D5F%QHXQ;$E!Gz<4*)iM(%%aEEK950R4t"
        r"2BZ$2}s6HG7ZPkpbhdSlVCD7{|Gl#%PBr4+^G*NHMzLwEX?%5hD=aWtBY0ubSoMPW7R${yaL_$%Hfaq-Lh(AKs"
        r"s3CoX$nifN1F7}2{bd=wSQU?naL|44l%|BByuVDK3d{C5s@E5+HF{V_g=Tw)PC{Wp9LPU`vJ@3}M=FL|29STv="
        r"SV6jb;K7>P^bIw=3F^A7;*%3^`beD?>CHL8cl>t;6^H}s>H8BzO#2$aSTg%)9VWuUc%H=o-(M0EQ7lN$@4pq=E"
        r"L}$>4)V?AMgs^-)m6S&0Jus20Ak8!7X"
    ),
    # FFmpeg 5.1, 1 kHz, mono, 0.03 s
    "mlp": (
        r"c-nhl^8dz<qWs<Z{0t1+gB%zb7<%djS;H6^7#bQF<m=ZfD1Us#00Clq4**HGf5%p&PCD#YzIxh^&AvG^-=5|a;"
        r"8RR2I#>L5foHihZ+s^MgXKzvDIF~h4L%+>7T&s_{`ueHH332l3<>-b9lEYfx*V0Msk-|5-me#1Ra}e&Ins=*ba"
        r"pi`aPIjaz@U-9Tf1-Vw5?0FT$|<Pnf3L3ZAqf1AWw^v<bfBL7z7vs5_oy~y7l(m4?7)oDJt7nRb^|{_kFtzmUJ"
        r";JZC)V2P?5kZaKc4##)%i3UcddCvvsZNvMrZ_yu;U5KVY*2n!g}{H{4BRBBq)UhCTBP1Q|{w@HMI~@>TcWd`w4"
        r"Kphcodz_G`Wk2~UPt*P1^kC_dE3?G0hL=ncmUd-juk)kAUCZ!~@l;L#i1p!70{C;3`!0!jf419h7nm+-b9|8m!"
        r"cM$Re;{*JD_#nW<fzJ;P0!#+@{NP~16hSCWF*QKb)U^c+3@UZUR@5)LeR$fpwH5_DM^1z|uN2^Ym>BTb{^sYy4"
        r"c0$SFfg9z)fShGo_qKI-@pH7Z<o|HU|?GdbZ0{X??i{@sTY0DboBIe21<qL8Ev=T{r~sx{|Xv@3;3B<B=F?jN!"
        r"hY`(af2Gl9ED;OxDDt=9QNpV8{^(;Ags!z*GPI`#*FQ4h(7cKkzgCNZ<jf{g0;N00Xz<27YFR1Rf=*X~-%Z81k"
        r"kE@H2ZP@F3d<Q*nSHW$FWd=7IzsZ8R5wR5&p3$2IUX&%ozq<^%ZL%=`kkn?LZg2;g%wiv?~sH}JD0;CAx^ewGe"
        r"=Zf4nl+szA1SO}IstdR0YV((dCqT#4Jww{NL<Lu96Gda|}(jO`@9?>z#C_APz@$yZk>bDCRMBf*GnmcW&k$%)q"
        r"-Pmnuu}A0lFm!BE5M*UY-~*OFC(b!9(v}nVd-vU5^JZ4C(%1EquHH^_2oVk7XVn0P-kr!J6X&$MgxToLz5A{%c"
        r"+-_-uCHUZoeL0P1(rRHs+;uYhTXcfSXtm$!h=@lL&^U)>rRSV@M<;yW1L2g"
    ),
    # libspeex, 440 Hz, mono at 16 kHz, 0.3 s
    "spx": (
        r"c-r$%PY-5bVt@kg-tuW6dWAKABV#~tL27D+f`Wpfo{^p*11ewy;s79Su!FE!pkn`lz=09MW<=BD53-8^*)EU@o"
        r"rmsc7|nTsET6=(G*e4GBXd1N0|Sth91y4GCFiH47TE$NlYx@PU`d6X%%ozF>%c~`7z!bb1o=fMQ)n8$0t85c2@"
        r"y$!kj?}KX|tT08x&@nizGi#N%^kL7hs*$lIC>M`tuA1puFjy;-$yZv}$7b!t$ePv`R$3bJg&QXjyeyBrt&Ft!h"
        r"Nga&C3iXqn|7xK(2<&GukbjoWNF%bjp}29cbARW-cka-vo>TxKRWchxvvJ#b?sTwYp4<37+#DGQ(suUSsuE}&W"
        r"3jR^f*Ejf2?)dWlB+*k!v3zC->l`}-hJ6@Fs>6rzVH`B=6RiiB}12JDBq%*6=@?5E%(Q|8k$>O>G?Uv^zw`DMV"
        r"2Wqt0Q#@-y$gP^<P?;OAYBYKe+_+UEZGMOoVQ_)81jI_9k-VZHhf9CZK8Pf5egNpOV$lOY`FN4Mj8`DFA(e1>Y"
        r"Z2|1s+xE+4WKD`qK7zl)mQ+%w-d!-QqQgC^A*pX-mw$pFe!F{kj`m$-o1NXIG=y_&L^?zJQo=FB|wJRy*nePr@"
        r"d=Fe_7)6jvaZE+ZY(w0ZseVe*"
    ),
}


def recorded(kind: str) -> bytes:
    """The whole file of a kind."""
    return zlib.decompress(base64.b85decode(_TEXTS[kind]))
